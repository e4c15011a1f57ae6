//! What a rollout costs those who are not in it.
//!
//! ```text
//! TAKT_ORT=.../libonnxruntime.so cargo bench --bench rollouts -- examples
//! ```
//!
//! First, in this process: nanoseconds for finding the route, choosing the arm by the hash of the part, and counting the answer
//! (goal: at most 1 microsecond). Then the shipped model behind a server, beside itself as a candidate that gets copies of a tenth
//! of the parts and no client: the 99th percentile of latency with shadowing and without, over turns of a second, at 30 % and
//! 60 % of what the server can do (goal: at most 1.1 times).

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use takt_artifact::share::TrafficShare;
use takt_proto::inference::ModelInferRequest;
use takt_proto::inference::model_infer_request::InferInputTensor;
use takt_proto::rollout::StartRequest;
use takt_proto::rollout::rollouts_client::RolloutsClient;
use takt_rollout::route::{Router, Salt};
use takt_serving::request::Origin;
use takt_serving::route::{Route, RouteCell, Waker};
use tonic::Request;
use tonic::transport::Endpoint;

use support::{Outcome, Server, spread};

const SHIPPED: &str = "surface-defects";
const TURNS: usize = 40;
const SPAN: Duration = Duration::from_secs(1);
const PLAN: &str = "[shadow]\nshare = 10\nunits = 100000\nbudget = \"10d\"\n";

fn main() -> Outcome<()> {
    routing();
    let examples = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let Some(examples) = examples.filter(|folder| folder.join("repository").join(SHIPPED).is_dir()) else {
        println!("skipped: name the repository's folder `examples` after `--`");
        return Ok(());
    };
    let image = std::fs::read_dir(examples.join("images"))?.find_map(|entry| {
        let path = entry.ok()?.path();
        (path.extension()? == "jpg").then_some(path)
    });
    let image = std::fs::read(image.ok_or("no image in the examples")?)?;
    let folder = tempfile::tempdir()?;
    let serve = |name: &str| -> Outcome<Server> {
        let models = folder.path().join(name);
        copy(&examples.join("repository"), &models)?;
        std::fs::write(models.join(SHIPPED).join("model.toml"), "on_new_version = \"ignore\"\n")?;
        Server::start_with(&models, SHIPPED, "")
    };
    let (with, without) = (serve("with")?, serve("without")?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    candidate(&folder.path().join("with").join(SHIPPED))?;
    runtime.block_on(start(&with))?;
    let most = runtime.block_on(saturated(&without, &image))?;
    println!("one server does {most:.0} images a second");
    for load in [0.3, 0.6] {
        let every = Duration::from_secs_f64(1.0 / (load * most));
        let (mut more, mut with_all, mut without_all) = (Vec::new(), Vec::new(), Vec::new());
        for turn in 0..TURNS {
            let first_with = turn % 2 == 0;
            let order = if first_with { [&with, &without] } else { [&without, &with] };
            let mut times =
                [runtime.block_on(paced(order[0], &image, every))?, runtime.block_on(paced(order[1], &image, every))?];
            if !first_with {
                times.swap(0, 1);
            }
            let [mut on, mut off] = times;
            more.push(1e6 * (quantile(&mut on, 0.5) - quantile(&mut off, 0.5)));
            with_all.extend(on);
            without_all.extend(off);
        }
        let (on, off) = (quantile(&mut with_all, 0.99), quantile(&mut without_all, 0.99));
        println!(
            "load {load}: p99 of {} answers without {:.1} ms, with shadowing {:.1} ms: {:.3} (goal 1.1)",
            without_all.len(),
            1e3 * off,
            1e3 * on,
            on / off
        );
        println!("load {load}: p50 with a rollout, more by {} us", spread(&mut more));
    }
    Ok(())
}

/// Nanoseconds that a rollout adds to a request on the way to its version and back.
fn routing() {
    let cell = RouteCell::default();
    let share = TrafficShare::of_millionths(50_000);
    let router = Router::new(Salt::new(7), share, share);
    let route = Route::new((1, 2), router, 3, Waker::new(|_| ()));
    assert!(cell.replace(None, Some(Arc::new(route))), "an empty cell takes a route");
    let origins: Vec<Origin> =
        (0..1024).map(|part| Origin { part_id: Some(format!("part-{part:08}")), ..Origin::default() }).collect();
    let rounds = 1000_u32;
    let mut turns: Vec<f64> = (0..15)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..rounds {
                for origin in &origins {
                    let Some(route) = cell.get() else { continue };
                    let arm = route.assign(black_box(origin), "");
                    route.counts(arm).answer(Duration::from_millis(5), None);
                    black_box(route.is_shadowed(origin, ""));
                }
            }
            begun.elapsed().as_secs_f64() * 1e9 / f64::from(rounds) / origins.len() as f64
        })
        .collect();
    println!("routing and counting: {} ns a request (goal 1000)", spread(&mut turns));
}

/// The same version under another digest, which is that of the manifest's exact bytes.
fn candidate(model: &Path) -> Outcome<()> {
    let aside = model.join("2.new");
    copy(&model.join("1"), &aside)?;
    let manifest = aside.join("manifest.json");
    let text = std::fs::read_to_string(&manifest)?;
    std::fs::write(manifest, text + "\n")?;
    std::fs::rename(aside, model.join("2"))?;
    Ok(())
}

async fn start(server: &Server) -> Outcome<()> {
    let channel = Endpoint::from_shared(server.address().to_owned())?.connect().await?;
    let mut rollouts = RolloutsClient::new(channel);
    let request =
        StartRequest { model: SHIPPED.into(), candidate: 2, plan_toml: PLAN.into(), retry: false, dry_run: false };
    rollouts.start(request).await?;
    for _ in 0..100 {
        let found = rollouts.get(takt_proto::rollout::GetRequest { model: SHIPPED.into() }).await?.into_inner();
        match found.rollouts.first() {
            Some(rollout) if rollout.phase == "shadowing" => return Ok(()),
            Some(rollout) if rollout.phase == "rolled_back" => return Err(rollout.reason.clone().into()),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    Err("the candidate is not ready after 10 s".into())
}

/// Images a second at saturation.
async fn saturated(server: &Server, image: &[u8]) -> Outcome<f64> {
    let begun = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..support::CLIENTS {
        clients.push(server.client().await?);
    }
    let work = clients.into_iter().map(|mut client| async move {
        let mut count = 0_u32;
        while begun.elapsed() < 2 * SPAN {
            client.model_infer(encoded(image, count)).await?;
            count += 1;
        }
        Ok::<u32, Box<dyn std::error::Error>>(count)
    });
    let counts: u32 = futures_util::future::join_all(work).await.into_iter().sum::<Outcome<u32>>()?;
    Ok(f64::from(counts) / begun.elapsed().as_secs_f64())
}

fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}

/// Latencies in seconds, of requests that are sent at fixed times whatever the server does.
async fn paced(server: &Server, image: &[u8], every: Duration) -> Outcome<Vec<f64>> {
    let client = server.client().await?;
    let begun = Instant::now();
    let number = (SPAN.as_secs_f64() / every.as_secs_f64()) as u32;
    let work = (0..number).map(|part| {
        let mut client = client.clone();
        async move {
            let due = begun + every * part;
            tokio::time::sleep_until(due.into()).await;
            client.model_infer(encoded(image, part)).await?;
            Ok::<f64, Box<dyn std::error::Error>>(due.elapsed().as_secs_f64())
        }
    });
    let times: Vec<Outcome<f64>> = futures_util::future::join_all(work).await;
    times.into_iter().collect()
}

fn encoded(image: &[u8], part: u32) -> Request<ModelInferRequest> {
    let mut raw = u32::try_from(image.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    raw.extend_from_slice(image);
    let input =
        InferInputTensor { name: "image".into(), datatype: "BYTES".into(), shape: vec![1], ..Default::default() };
    let mut request = Request::new(ModelInferRequest {
        model_name: SHIPPED.into(),
        inputs: vec![input],
        raw_input_contents: vec![raw.into()],
        ..Default::default()
    });
    if let Ok(part) = part.to_string().parse() {
        request.metadata_mut().insert("x-part-id", part);
    }
    request
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
