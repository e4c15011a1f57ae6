//! What the images of `k8s/deploy/images/` are made of: pinned bases, locked builds, one program, a user without rights.

use crate::metadata::root;
use crate::texts::text_files;

/// The user that the operator gives to pods, see `k8s/src/build/workload.rs`.
const USER: &str = "USER 65532:65532";

#[test]
fn images_are_pinned_and_locked_and_run_one_program_without_rights() {
    let images = text_files(&root().join("k8s/deploy/images"));
    assert_eq!(images.len(), 3, "edge, cpu and operator");
    for (path, text) in images {
        let path = path.display();
        let lines = instructions(&text);
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("FROM ")) {
            let base = line.split_whitespace().skip(1).find(|word| !word.starts_with("--")).unwrap_or_default();
            let given = base.strip_prefix("${").and_then(|name| name.strip_suffix('}'));
            match given {
                Some(name) => {
                    let declared = lines.iter().take(number).any(|line| *line == format!("ARG {name}"));
                    assert!(declared, "{path}: {base} is no argument before {line}");
                }
                None => {
                    let tag = base.rsplit_once(':').map(|(_, tag)| tag);
                    assert!(tag.is_some_and(|tag| tag != "latest"), "{path}: {line} names no tag that stays");
                }
            }
        }
        for build in lines.iter().filter(|line| line.contains("cargo build")) {
            assert!(build.contains("--locked") && build.contains("--profile dist"), "{path}: {build}");
            let features = build.split("--features ").nth(1).unwrap_or_default();
            let known = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml can be read");
            for feature in features.split(',') {
                assert!(known.contains(&format!("\n{feature} = [")), "{path}: there is no feature {feature}");
            }
            assert!(!path.to_string().contains("edge") || features == "serve,ort", "{path}: {build}");
        }
        let last = lines.iter().rposition(|line| line.starts_with("FROM ")).expect("a stage");
        let image = lines.split_at(last).1;
        assert!(image.iter().any(|line| line == USER), "{path}: does not say {USER}");
        assert!(image.iter().any(|line| line.starts_with("ENTRYPOINT [")), "{path}: no entry point without a shell");
        let copies: Vec<_> = image.iter().filter(|line| line.starts_with("COPY ")).collect();
        assert!(copies.len() == 1 && copies[0].contains("--from=build"), "{path}: more than the program: {copies:?}");
        let adds = image.iter().find(|line| line.starts_with("RUN ") || line.starts_with("ADD "));
        assert!(adds.is_none(), "{path}: adds something to the image: {adds:?}");
    }
}

/// Lines without comments, those that go on joined.
fn instructions(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}
