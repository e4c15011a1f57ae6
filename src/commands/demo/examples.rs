//! Where the shipped model and images are.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The shipped model repository and images.
#[derive(Debug, Clone)]
pub struct Examples {
    /// The model repository.
    pub repository: PathBuf,
    /// The folder of the images.
    pub images_dir: PathBuf,
    /// The images by name, each named `<class>-<number>.<extension>`.
    pub images: Vec<PathBuf>,
}

impl Examples {
    /// Looks below the working directory, beside the program, and where the program was built.
    ///
    /// # Errors
    /// They are in none of these places, or cannot be read.
    pub fn find() -> anyhow::Result<Self> {
        let places = places();
        let Some(root) = places.iter().find(|place| place.join("repository").is_dir() && place.join("images").is_dir())
        else {
            let places = places.iter().map(|place| format!("\n  {}", place.display())).collect::<String>();
            bail!(
                "the shipped model and images are not there; expected a folder with 'repository' and 'images' at one of\
                 {places}\nrun `takt demo` in the source folder, or copy its 'examples' folder beside the program"
            );
        };
        Self::read(root)
    }

    fn read(root: &Path) -> anyhow::Result<Self> {
        let images_dir = root.join("images");
        let unread = || format!("cannot read '{}'", images_dir.display());
        let entries = std::fs::read_dir(&images_dir).with_context(unread)?;
        let mut images =
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(unread)?;
        images.retain(|path| {
            path.extension().is_some_and(|kind| ["jpg", "png", "bmp"].iter().any(|known| kind == *known))
        });
        images.sort();
        if images.is_empty() {
            bail!("no image in '{}'; expected files such as ok-000004.jpg", images_dir.display());
        }
        Ok(Self { repository: root.join("repository"), images_dir, images })
    }
}

fn places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("examples")];
    if let Some(dir) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        places.extend(["examples", "../share/takt/examples"].map(|place| dir.join(place)));
    }
    places.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"));
    places
}
