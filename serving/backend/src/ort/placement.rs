//! From providers asked for to a session and the truth about what runs it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::{NAME, OrtBackend};
use crate::provider::OtherKind;
use crate::{LoadError, LoadRequest, Placement, Provider};

/// A session and what runs it.
pub struct Placed {
    pub session: Session,
    pub placement: Placement,
    /// ONNX Runtime was asked to tell everything while loading; runs must ask for less.
    pub verbose: bool,
}

/// Tries the providers in order. One that does not register is left out; one that registers but lets the session fail (no
/// driver, say) is left out of a second attempt. Each is recorded with its reason, or refused where the request is strict.
///
/// # Errors
/// The model itself does not load, or a provider did not come up and the request is strict.
pub fn place(backend: &OrtBackend, request: &LoadRequest) -> Result<Placed, LoadError> {
    let model_error =
        |error: ort::Error| LoadError::Model { path: request.model.clone(), runtime: NAME, reason: error.to_string() };
    let mut left = request.providers.iter().collect::<Vec<_>>();
    let mut declined = Vec::new();
    loop {
        let mut builder = backend.builder(request)?;
        let mut registered = Vec::new();
        for provider in &left {
            match dispatch(provider, request.cache_dir.as_deref()).register(&mut builder) {
                Ok(()) => registered.push(*provider),
                Err(error) => decline(backend, request, provider, &error.to_string(), &mut declined)?,
            }
        }
        let accelerated = registered.iter().copied().find(|provider| !matches!(provider, Provider::Cpu(_)));
        let nodes = NodeCounts::default();
        if accelerated.is_some() {
            builder = nodes.listen(builder).map_err(model_error)?;
        }
        match (builder.commit_from_file(&request.model), accelerated) {
            (Ok(session), _) => {
                let nodes = nodes.take();
                let first = registered.first().map_or("cpu", |provider| provider.name());
                if let Some(provider) = accelerated.filter(|provider| nodes_of(&nodes, provider) == Some(0)) {
                    decline(backend, request, provider, "it took no node of this model", &mut declined)?;
                }
                let provider = busiest(&nodes).unwrap_or_else(|| first.to_owned());
                let placement = Placement { runtime: NAME, provider, declined, nodes };
                return Ok(Placed { session, placement, verbose: accelerated.is_some() });
            }
            (Err(error), Some(culprit)) => {
                decline(backend, request, culprit, &error.to_string(), &mut declined)?;
                left = registered.into_iter().filter(|provider| !std::ptr::eq(*provider, culprit)).collect();
            }
            (Err(error), None) => return Err(model_error(error)),
        }
    }
}

fn decline(
    backend: &OrtBackend,
    request: &LoadRequest,
    provider: &Provider,
    reason: &str,
    declined: &mut Vec<String>,
) -> Result<(), LoadError> {
    if request.strict {
        let library = &backend.library;
        return Err(LoadError::Provider {
            provider: provider.name().to_owned(),
            reason: reason.trim().to_owned(),
            remedy: format!(
                "the ONNX Runtime in use ({} at '{}') has {}; install one built for it, with its driver and libraries",
                library.version,
                library.path.display(),
                library.providers.join(", ")
            ),
        });
    }
    tracing::warn!(model = %request.model.display(), provider = provider.name(), reason, "provider does not come up, taking the next");
    declined.push(format!("{}: {}", provider.name(), reason.trim()));
    Ok(())
}

fn dispatch(provider: &Provider, cache_dir: Option<&Path>) -> ExecutionProviderDispatch {
    fn with<E>(provider: E, options: Vec<(String, String)>) -> E
    where
        E: ArbitrarilyConfigurableExecutionProvider,
    {
        options.into_iter().fold(provider, |provider, (key, value)| provider.with_arbitrary_config(key, value))
    }
    let options = provider.to_key_values(cache_dir);
    match provider {
        Provider::TensorRt(_) => with(ep::TensorRT::default(), options).build(),
        Provider::Cuda(_) => with(ep::CUDA::default(), options).build(),
        Provider::Cpu(cpu) => ep::CPU::default().with_arena_allocator(cpu.arena).build(),
        Provider::Other(other) => match other.kind {
            OtherKind::OpenVino => with(ep::OpenVINO::default(), options).build(),
            OtherKind::Xnnpack => with(ep::XNNPACK::default(), options).build(),
            OtherKind::CoreMl => with(ep::CoreML::default(), options).build(),
            OtherKind::Acl => {
                let fast_math = options.iter().any(|(key, value)| key == "fast_math" && value == "1");
                ep::ACL::default().with_fast_math(fast_math).build()
            }
        },
    }
}

/// Counts what ONNX Runtime says about node placements while it builds a session: at its most talkative it logs, per
/// provider, `Node(s) placed on [CUDAExecutionProvider]. Number of nodes: 12` or `All nodes placed on [...]. ...`.
#[derive(Clone, Default)]
struct NodeCounts(Arc<Mutex<Vec<(String, usize)>>>);

impl NodeCounts {
    fn listen(&self, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        let counts = self.clone();
        let logger = move |_: LogLevel, _: &str, _: &str, _: &str, message: &str| counts.hear(message);
        Ok(builder.with_logger(Arc::new(logger))?.with_log_level(LogLevel::Verbose)?)
    }

    fn hear(&self, message: &str) {
        if let Some(count) = parse(message) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(count);
        }
    }

    fn take(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn parse(message: &str) -> Option<(String, usize)> {
    let (_, rest) = message.split_once("placed on [")?;
    let (provider, rest) = rest.split_once(']')?;
    let (_, count) = rest.split_once("Number of nodes:")?;
    Some((provider.trim_end_matches("ExecutionProvider").to_ascii_lowercase(), count.trim().parse().ok()?))
}

fn nodes_of(nodes: &[(String, usize)], provider: &Provider) -> Option<usize> {
    if nodes.is_empty() {
        return None;
    }
    let name = provider.onnxruntime_name().trim_end_matches("ExecutionProvider").to_ascii_lowercase();
    Some(nodes.iter().find(|(of, _)| *of == name).map_or(0, |(_, count)| *count))
}

fn busiest(nodes: &[(String, usize)]) -> Option<String> {
    nodes.iter().max_by_key(|(_, count)| *count).map(|(provider, _)| provider.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placements_are_read_from_the_log() {
        let counts = NodeCounts::default();
        counts.hear("Node placements");
        counts.hear(" Node(s) placed on [TensorrtExecutionProvider]. Number of nodes: 3");
        counts.hear(" Node(s) placed on [CPUExecutionProvider]. Number of nodes: 1");
        let nodes = counts.take();
        assert_eq!(nodes, [("tensorrt".to_owned(), 3), ("cpu".to_owned(), 1)]);
        assert_eq!(busiest(&nodes).as_deref(), Some("tensorrt"));
        assert_eq!(nodes_of(&nodes, &Provider::Cuda(crate::provider::Cuda::default())), Some(0));
    }
}
