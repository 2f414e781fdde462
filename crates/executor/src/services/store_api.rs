//! The socket through which input services reach the store.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use manifest::{Origin, Stage};
use sandbox::{Layers, Mount, UserNamespace};
use serde_json::{Value, json};
use store::{Object, Store};

use super::host::Beside;
use super::packet::Packet;
use super::server::Server;
use super::socket_dir::SocketDir;
use crate::inputs::layers_of;
use crate::{Error, Result, driver};

/// Serves trees of finished pipelines, scratch directories and the cache of sources.
pub(crate) struct StoreApi<'a> {
    server: Server,
    dir: SocketDir,
    trees: Trees<'a>,
}

/// What is answered from.
struct Trees<'a> {
    scratch: PathBuf,
    store: &'a Store,
    users: &'a UserNamespace,
    /// The trees that the stage's inputs name, by id; `None` is an empty one.
    known: BTreeMap<String, Option<&'a Object>>,
    /// Where trees are mounted already.
    mounted: BTreeMap<String, PathBuf>,
    /// Trees of the store that stay there while we have them.
    kept: Vec<Object>,
    made: usize,
}

impl<'a> StoreApi<'a> {
    /// For the inputs of `stage`; `scratch` is its own directory on the store's file system.
    pub(crate) fn new(
        stage: &Stage,
        objects: &'a [Option<Object>],
        (store, users): (&'a Store, &'a UserNamespace),
        scratch: &Path,
    ) -> Result<Self> {
        let dir = SocketDir::new(scratch, "store")?;
        let server =
            Server::listen(dir.path(), "store").map_err(|e| Error::io("listen in", dir.path(), e))?;
        let mut known = BTreeMap::new();
        for input in stage
            .inputs
            .iter()
            .filter(|input| input.origin == Origin::Pipeline)
        {
            for ((id, _), index) in input.references.iter().zip(&input.pipelines) {
                known.insert(id.clone(), objects.get(*index).and_then(Option::as_ref));
            }
        }
        let trees = Trees {
            scratch: scratch.to_owned(),
            store,
            users,
            known,
            mounted: BTreeMap::new(),
            kept: Vec::new(),
            made: 0,
        };
        Ok(Self { server, dir, trees })
    }

    /// The path of the socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("store")
    }
}

impl Trees<'_> {
    fn answer(&mut self, request: &Value) -> Result<Value> {
        let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        let path = match request["method"].as_str() {
            Some("read-tree") => self.tree(&text("object-id"))?,
            Some("read-tree-at") => match self.tree(&text("object-id"))? {
                Some(tree) => {
                    let target = PathBuf::from(text("target"));
                    let part = text("subtree");
                    let part = Path::new(part.trim_matches('/'));
                    sandbox::attach_part(&tree, part, &target, self.users)?;
                    Some(target)
                }
                None => None,
            },
            Some("mkdtemp") => Some(self.directory(&text("prefix"), &text("suffix"))?),
            Some("source") => Some(self.store.sources().join(text("name"))),
            _ => return Ok(json!({"error": "there is no such method"})),
        };
        Ok(json!({"path": path}))
    }

    /// Mounts the tree of a pipeline, once.
    fn tree(&mut self, id: &str) -> Result<Option<PathBuf>> {
        if let Some(path) = self.mounted.get(id) {
            return Ok(Some(path.clone()));
        }
        let layers = match self.known.get(id) {
            Some(object) => layers_of(*object),
            None => match self.lookup(id) {
                Some(object) => {
                    let layers = layers_of(Some(&object));
                    self.kept.push(object);
                    layers
                }
                None => return Ok(None),
            },
        };
        let scaffold = self.directory("tree-", "")?;
        self.mount(layers, &scaffold)?;
        let path = scaffold.join("tree");
        self.mounted.insert(id.to_owned(), path.clone());
        Ok(Some(path))
    }

    fn lookup(&self, id: &str) -> Option<Object> {
        self.store.lookup(id).ok().flatten().map(|(object, _)| object)
    }

    fn mount(&self, mut layers: Layers, scaffold: &Path) -> Result<()> {
        driver::settle_layers(&mut layers, self.store, self.users)?;
        let tree = Mount::Tree {
            layers,
            target: "/tree".into(),
        };
        Ok(sandbox::attach(scaffold, &[tree], self.users)?)
    }

    /// A fresh directory that goes with the stage.
    fn directory(&mut self, prefix: &str, suffix: &str) -> Result<PathBuf> {
        self.made += 1;
        let plain = |text: &str| text.replace('/', "_");
        let path =
            self.scratch
                .join("store")
                .join(format!("{}{}{}", plain(prefix), self.made, plain(suffix)));
        std::fs::create_dir_all(&path).map_err(|e| Error::io("make", &path, e))?;
        Ok(path)
    }
}

impl Beside for StoreApi<'_> {
    fn fds<'b>(&'b self, list: &mut Vec<BorrowedFd<'b>>) {
        self.server.fds(list);
    }

    fn serve(&mut self) {
        let trees = &mut self.trees;
        self.server.serve(&mut |packet: Packet| {
            let answer = trees.answer(&packet.value);
            Some(answer.unwrap_or_else(|e| json!({"error": e.to_string()})))
        });
    }
}
