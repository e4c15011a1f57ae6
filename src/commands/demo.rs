//! `takt demo`: the main job from end to end on what is shipped: a server, a model, images, verdicts.

mod examples;
mod server;
mod summary;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::examples::Examples;
use self::server::{DemoServer, Urls};
use self::summary::{Answered, Summary};
use crate::client::{self, Classifier, Origin, Question, ServerUrl};
use crate::table::Table;

/// The shipped model.
const MODEL: &str = "surface-defects";

/// How long the server may take to load the shipped model; a busy single-board computer needs a part of it.
const STARTUP: Duration = Duration::from_secs(120);

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// Start a server on the shipped model and classify the shipped images.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Stop the server after the images rather than at Ctrl-C
    #[arg(long)]
    once: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    urls: &'a Urls,
    images: &'a [Answered],
    summary: &'a Summary,
}

/// Runs `takt demo`.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let examples = Examples::find()?;
    client::block_on(async {
        let mut interrupt = Interrupt::listen()?;
        // Who looks around wants the addresses of the documentation; who only runs it wants no conflict.
        let urls = if args.once { Urls::free()? } else { Urls::usual()? };
        let mut server = DemoServer::start(&examples, urls)?;
        let summary = tokio::select! {
            summary = show(args, &examples, &mut server) => summary?,
            () = interrupt.wait() => {
                server.stop().await?;
                bail!("interrupted");
            }
        };
        if !args.once {
            tokio::select! {
                ended = server.ended() => return Err(ended),
                () = interrupt.wait() => {}
            }
        }
        server.stop().await?;
        Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
    })
}

/// Waits for the server, asks it about every image, and prints what it says.
async fn show(args: &DemoArgs, examples: &Examples, server: &mut DemoServer) -> anyhow::Result<Summary> {
    let mut out = std::io::stdout();
    if !args.json {
        writeln!(out, "starting a server on {}", examples.repository.display())?;
    }
    let took = server.ready(MODEL, STARTUP).await?;
    let urls = server.urls().clone();
    let url: ServerUrl = urls.grpc.parse().map_err(anyhow::Error::msg)?;
    if !args.json {
        writeln!(out, "ready after {:.1} s; asking it about {}\n", took.as_secs_f64(), examples.images_dir.display())?;
    }
    let answers = classify(examples, &url).await?;
    let summary = Summary::ask(&answers, &url, MODEL).await?;
    if args.json {
        super::write_json(&mut out, &Report { urls: &urls, images: &answers, summary: &summary })?;
        return Ok(summary);
    }
    write!(out, "{}\n{summary}", table(&answers))?;
    if !args.once {
        write_places(&mut out, examples, &urls)?;
    }
    Ok(summary)
}

async fn classify(examples: &Examples, url: &ServerUrl) -> anyhow::Result<Vec<Answered>> {
    let question = Question {
        model: MODEL.to_owned(),
        version: None,
        input: None,
        top: 3,
        timeout: ANSWER,
        origin: Origin::default(),
    };
    let classifier = Classifier::connect(url, question).await?;
    let mut answers = Vec::new();
    // One after the other, so that the latencies are those of a single station.
    for file in &examples.images {
        answers.push(Answered::new(file, classifier.classify_file(file).await));
    }
    Ok(answers)
}

fn table(answers: &[Answered]) -> Table {
    let mut table = Table::new(["IMAGE", "TRUTH", "VERDICT", "CLASS", "SCORE", "LATENCY", ""]);
    for answered in answers {
        let (file, truth) = (answered.file.clone(), answered.truth.clone());
        table.push(match (&answered.prediction, &answered.error) {
            (Some(prediction), _) => [
                file,
                truth,
                prediction.verdict().to_owned(),
                prediction.class().unwrap_or_default(),
                prediction.score().map(|score| format!("{score:.3}")).unwrap_or_default(),
                format!("{:.1} ms", prediction.latency_ms),
                if answered.is_right() { String::new() } else { "wrong class".to_owned() },
            ],
            (None, error) => {
                let error = error.as_ref().map(ToString::to_string).unwrap_or_default();
                [file, truth, "failed".to_owned(), String::new(), String::new(), String::new(), error]
            }
        });
    }
    table
}

fn write_places(out: &mut impl Write, examples: &Examples, urls: &Urls) -> std::io::Result<()> {
    let image = examples.images.first().map(|image| image.display().to_string()).unwrap_or_default();
    let Urls { grpc, http, metrics } = urls;
    writeln!(out, "\nthe server goes on until Ctrl-C:")?;
    writeln!(out, "  gRPC     {grpc}")?;
    writeln!(out, "  HTTP     {http}/v2/models/{MODEL}")?;
    writeln!(out, "  metrics  {metrics}/metrics")?;
    writeln!(out, "\ntry in another terminal:")?;
    writeln!(out, "  takt infer {MODEL} --url {grpc} --image {image}")?;
    writeln!(out, "  takt models status {MODEL} --url {grpc}")?;
    writeln!(out, "  curl {http}/v2/models/{MODEL}/stats")?;
    out.flush()
}

/// Ctrl-C, or a polite kill.
struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for Ctrl-C");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
