//! Elasticsearch's `_bulk`, as its own Python client reads and writes it: there is no server to be had. What a request holds is
//! put together again by the client's own helpers, and must be the same; the answers are such as the client's `bulk` accepts.

use super::course::Load;
use super::daemon::{Daemon, PYTHON, answers, get, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use anyhow::{Context, Result};
use std::path::Path;

/// Documents by `_id`, now and then one of them too many for the moment.
pub const BULK: Kind = Kind {
    name: "elasticsearch-bulk",
    needs: &["python3"],
    loss: Loss::Nothing,
    repeats: Repeats::Never,
    make,
};

const SERVER: &str = r#"
import gzip, json, sqlite3, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from elasticsearch import Elasticsearch, helpers, serializer

port, path = int(sys.argv[1]), sys.argv[2]
own = serializer.JSONSerializer()
lock, items = threading.Lock(), 0
base = sqlite3.connect(path, check_same_thread=False)
base.execute("pragma journal_mode = wal")
base.execute("create table if not exists docs (id text primary key, name text, doc text)")

def bulk(body):
    global items
    lines = body.decode().split("\n")
    assert lines.pop() == "", "the last line has no end"
    told = []
    for head, doc in zip(lines[::2], lines[1::2], strict=True):
        (action, about), = json.loads(head).items()
        source = json.loads(doc)
        again = helpers.expand_action({"_op_type": action, **about, "_source": source})
        assert again == ({action: about}, source) and own.loads(own.dumps(again[1])) == source, (head, again)
        items += 1
        if items % 97 == 0:
            error = {"type": "es_rejected_execution_exception", "reason": "queue is full"}
            told.append({action: {**about, "status": 429, "error": error}})
            continue
        try:
            base.execute("insert into docs values (?, ?, ?)", (about["_id"], about["_index"], doc))
            told.append({action: {**about, "_version": 1, "result": "created", "status": 201}})
        except sqlite3.IntegrityError:
            error = {"type": "version_conflict_engine_exception", "reason": "document already exists"}
            told.append({action: {**about, "status": 409, "error": error}})
    base.commit()
    return {"took": 1, "errors": any("error" in one for item in told for one in item.values()), "items": told}

class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_):
        pass
    def answer(self, what):
        text = json.dumps(what).encode()
        self.send_response(200)
        for name, value in [("content-type", "application/json"), ("x-elastic-product", "Elasticsearch"),
                            ("content-length", str(len(text)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
    def do_GET(self):
        if self.path == "/docs":
            with lock:
                rows = [json.loads(doc) for doc, in base.execute("select doc from docs where name like 'tidegate-%'")]
            return self.answer(sorted([d["@timestamp"], d["host"], d["metric"], d["attributes"]["number"]] for d in rows))
        self.answer({"version": {"number": "7.17.6", "build_flavor": "default"}, "tagline": "You Know, for Search"})
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.headers["content-type"].split("/")[-1].split(";")[0] in ("x-ndjson", "json"), self.headers
        with lock:
            self.answer(bulk(body))

server = ThreadingHTTPServer(("127.0.0.1", port), Page)
threading.Thread(target=server.serve_forever).start()
# The answers are those that the client expects.
client = Elasticsearch([f"http://127.0.0.1:{port}"])
document = {"_op_type": "create", "_index": "own", "_id": "own", "n": 1}
done, failed = helpers.bulk(client, [document], raise_on_error=False)
assert (done, [one["create"]["status"] for one in failed]) in ((1, []), (0, [409])), (done, failed)
"#;

struct Bulk {
    daemon: Daemon,
    port: u16,
}

fn make(folder: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let script = write(folder, "bulk.py", SERVER)?;
    let base = folder.join("docs.sqlite").display().to_string();
    let daemon = Daemon::new(PYTHON, [script, port.to_string(), base], folder.join("bulk.log"))
        .ready_when(move || answers(port, "/"));
    Ok(Box::new(Bulk { daemon, port }))
}

impl Receiver for Bulk {
    fn output(&self) -> String {
        format!("type = \"elasticsearch\"\nurl = \"http://127.0.0.1:{}\"\n", self.port)
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let documents = get(self.port, "/docs")?.json()?;
        let mut arrived = vec![Vec::new(); load.streams];
        for document in documents.as_array().into_iter().flatten() {
            let host = document[1].as_str().unwrap_or_default();
            let stream = host.strip_prefix('h').and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX);
            let number = document[2].as_f64().unwrap_or_default();
            let whole = document[3].as_str() == Some(&*number.to_string());
            let number = if whole { number as u64 } else { 0 };
            arrived.get_mut(stream).with_context(|| format!("a stream {host}"))?.push(number);
        }
        Ok(arrived)
    }
}
