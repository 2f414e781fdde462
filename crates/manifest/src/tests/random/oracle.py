"""Reads manifests, one a line, and writes the ids of each, a line each: {"pipelines": [[name, id, [stage id]]]}.

With the path of a checkout of the Python osbuild its own code computes them. Without one it is done by the recipe, in
the plainest way: what a manifest says is looked up anew wherever it is needed.
"""
import hashlib
import json
import sys


def digest(*parts):
    whole = "".join(json.dumps(part, sort_keys=True) for part in parts)
    return hashlib.sha256(whole.encode()).hexdigest()


def references(given):
    if isinstance(given, dict):
        return {ref: options or {} for ref, options in given.items()}
    pairs = [(ref, {}) if isinstance(ref, str) else (ref["id"], ref.get("options")) for ref in given]
    return {ref: options or {} for ref, options in pairs}


def input_id(given, done):
    refs = references(given["references"])
    if given["origin"] == "org.osbuild.pipeline":
        refs = {done.get(ref[5:]): options for ref, options in refs.items() if ref.startswith("name:")}
    return digest(given["type"], given["origin"], refs, given.get("options", {}))


def device_id(devices, name):
    device = devices[name]
    parent = device.get("parent")
    above = [device_id(devices, parent)] if parent else []
    return digest(device["type"], *above, device.get("options", {}))


def mount_id(given, devices):
    on = [device_id(devices, given["source"])] if given.get("source") else []
    where = [given[key] for key in ("partition", "target") if given.get(key)]
    return digest(given["type"], *on, *where, given.get("options", {}))


def stage_id(stage, build, base, epoch, done):
    parts = [stage["type"], build, base, stage.get("options", {})]
    if epoch is not None:
        parts.append(epoch)
    if stage.get("inputs"):
        parts.append({name: input_id(given, done) for name, given in stage["inputs"].items()})
    if stage.get("mounts"):
        parts.append([mount_id(mount, stage.get("devices", {})) for mount in stage["mounts"]])
    return digest(*parts)


def stage_ids(stages, build, epoch, done):
    ids = []
    for stage in stages:
        ids.append(stage_id(stage, build, ids[-1] if ids else None, epoch, done))
    return ids


def format_2(manifest):
    done, result = {}, []
    for pipeline in manifest.get("pipelines", []):
        build = pipeline.get("build")
        if build and build.startswith("name:"):
            build = done[build[5:]]
        ids = stage_ids(pipeline.get("stages", []), build or None, pipeline.get("source-epoch"), done)
        done[pipeline["name"]] = ids[-1] if ids else None
        result.append([pipeline["name"], done[pipeline["name"]], ids])
    return result


def modern(stage):
    """A stage of format 1 as one of format 2."""
    options = stage.get("options", {})
    inputs = {}

    def take(name, kind, refs):
        inputs[name] = {"type": kind, "origin": "org.osbuild.source", "references": refs}

    if stage["name"] == "org.osbuild.rpm":
        refs = {}
        for package in options["packages"]:
            checked = isinstance(package, dict) and package.get("check_gpg")
            key = package["checksum"] if isinstance(package, dict) else package
            refs[key] = {"metadata": {"rpm.check_gpg": checked}} if checked else {}
        take("packages", "org.osbuild.files", refs)
    if stage["name"] == "org.osbuild.ostree":
        ref = options.get("ref")
        take("commits", "org.osbuild.ostree", {options["commit"]: {"ref": ref} if ref else {}})
    return {"type": stage["name"], "options": options, "inputs": inputs}


def format_1(manifest):
    result = []

    def pipeline(given, depth):
        build = None
        if given.get("build"):
            inner = given["build"].get("pipeline")
            build = pipeline(inner, depth + 1) if inner else None
        ids = stage_ids([modern(stage) for stage in given.get("stages", [])], build, None, {})
        last = ids[-1] if ids else None
        result.append(["-".join(["build"] * depth) or "tree", last, ids])
        return last

    tree = manifest.get("pipeline", {})
    pipeline(tree, 0)
    if tree.get("assembler"):
        build = result[-2][1] if len(result) > 1 else None
        given = {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": {"name:tree": {}}}
        stage = modern(tree["assembler"])
        stage["inputs"] = {"tree": given}
        ids = stage_ids([stage], build, None, {"tree": result[-1][1]})
        result.append(["assembler", ids[-1], ids])
    return result


def recipe(manifest):
    return format_2(manifest) if manifest.get("version") == "2" else format_1(manifest)


def peers(checkout):
    sys.path.insert(0, checkout)
    from osbuild.formats import v1, v2
    from osbuild.meta import ModuleInfo

    class AnyModule:
        """An index in which there is every module."""

        def get_module_info(self, kind, name):
            return ModuleInfo(kind, name, "", {"schema": {}, "desc": "", "info": "", "caps": set()})

        def detect_runner(self, name):
            return self.detect_host_runner()

        def detect_host_runner(self):
            return self.get_module_info("Runner", "org.osbuild.linux")

    def load(manifest):
        form = v2 if manifest.get("version") == "2" else v1
        loaded = form.load(manifest, AnyModule())
        pipelines = loaded.pipelines.values()
        return [[pipeline.name, pipeline.id, [stage.id for stage in pipeline.stages]] for pipeline in pipelines]

    return load


ids = peers(sys.argv[1]) if len(sys.argv) > 1 else recipe
for line in sys.stdin:
    print(json.dumps(ids(json.loads(line))))
