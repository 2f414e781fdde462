//! How large the store may become.

use std::path::Path;

use serde_json::{Map, Value};

use crate::store::{Store, write_durably};
use crate::{Error, Result};

/// The most that a store takes by default.
const DEFAULT: u64 = 50 << 30;

impl Store {
    /// The most bytes that objects may take; `None`: no limit.
    ///
    /// A `maximum-size` in `cache.info` that is not 0 wins; else it is what was set down when the store was made: the
    /// smaller of 50 GiB and half the space that was free. Sources do not count.
    pub fn max_size(&self) -> Result<Option<u64>> {
        match read_info(&self.path.join("cache.info"))?.get("maximum-size") {
            Some(Value::String(text)) if text == "unlimited" => return Ok(None),
            Some(Value::Number(number)) => {
                if let Some(bytes) = number.as_u64().filter(|n| *n > 0) {
                    return Ok(Some(bytes));
                }
            }
            _ => {}
        }
        let set_down = std::fs::read_to_string(self.path.join("limit")).ok();
        Ok(Some(
            set_down
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(DEFAULT),
        ))
    }

    /// Sets `maximum-size` in `cache.info`, where the Python osbuild finds it too; all else in there stays.
    pub fn set_max_size(&self, bytes: Option<u64>) -> Result<()> {
        let desk = self.desk()?;
        let path = self.path.join("cache.info");
        let mut info = read_info(&path)?;
        info.entry("version").or_insert_with(|| 1.into());
        let size = bytes.map_or_else(|| "unlimited".into(), Value::from);
        info.insert("maximum-size".into(), size);
        write_durably(desk, &path, Value::Object(info).to_string().as_bytes())
    }

    /// Sets down the default limit of a new store.
    pub(crate) fn set_down_limit(&self) -> Result<()> {
        let path = self.path.join("limit");
        if path.exists() {
            return Ok(());
        }
        let free = rustix::fs::statvfs(&self.path)
            .map(|fs| fs.f_bavail * fs.f_frsize)
            .map_err(|e| Error::io("ask for the free space of", &self.path, e))?;
        let limit = DEFAULT.min(free / 2);
        write_durably(self.desk()?, &path, format!("{limit}\n").as_bytes())
    }
}

fn read_info(path: &Path) -> Result<Map<String, Value>> {
    let text = match fault::step!(std::fs::read(path)) {
        // what a machine that went down may leave of a new file
        Ok(text) if text.is_empty() => return Ok(Map::new()),
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    serde_json::from_slice(&text).map_err(|e| Error::BadInfo {
        path: path.to_owned(),
        reason: e.to_string(),
    })
}
