//! A small file system of its own, so that it can be filled.

use crate::program::{command, find, in_ci};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// A file system in memory; goes when dropped.
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts one of so many bytes on a folder. `None` where this user may not, after having said so; in CI that is an error.
    pub fn memory(folder: &Path, size: &str) -> Result<Option<Self>> {
        let refused = |why: String| match in_ci() {
            true => bail!("no file system can be mounted: {why}"),
            false => {
                eprintln!(
                    "skipped: no file system can be mounted ({why}); it needs root and the program `mount`"
                );
                Ok(None)
            }
        };
        if find("mount").is_none() {
            return refused("there is no `mount`".to_owned());
        }
        std::fs::create_dir_all(folder)?;
        let mut mount = command("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tidegate-chaos"]);
        let done = mount.arg(folder).output().context("mount")?;
        if !done.status.success() {
            return refused(String::from_utf8_lossy(&done.stderr).trim().to_owned());
        }
        Ok(Some(Self(folder.to_owned())))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there keeps it until then.
        let _ = command("umount", &["--lazy"]).arg(&self.0).status();
    }
}
