#!/usr/bin/env python3
"""Compares what a plugpull binary does with the golden outputs in ci/golden.

    ci/golden.py BINARY                 compare; exit code 1 when something differs
    ci/golden.py BINARY --behaviour     compare, but let sentences differ (help, messages, "what" ...)
    ci/golden.py BINARY --update        rewrite the golden outputs with this binary
    ci/golden.py BINARY --widen         repeat as --update does; what differs becomes "*" too
    ci/golden.py BINARY --only NAME     only the cases whose name contains NAME; may be repeated

A case is a command line with fixed seeds and triggers, or a stored trace that is explored with a
fixed number of states. Fields that hold a duration are left out. What is not the same in each of
the repetitions of --update (five idle, five beside two busy loops) is written as "*", and matches
anything. A case that differs is run twice more: it differs when none of the three runs matches.

The golden outputs of the first version are those of commit d90294f. A commit that changes one says
in its message what changed and why.
"""

import argparse
import difflib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent / "golden"
ANY = "*"
IDLE, BUSY = 5, 5

# Fields of a clock, what only repeats these fields, and a file that is named after its moment.
CLOCK = re.compile(r".*_us$|^recovery$|^took$|^times?$|^at_ms$")

REFERENCE = "run reference --clients 1 --rounds 2"
SQLITE = "run sqlite --clients 1 --rounds 2"
RUNS = {
    "run-01-sqlite-kill": f"{SQLITE} --seed 1 --fault kill@op=sync,n=5",
    "run-02-sqlite-power-loss": f"{SQLITE} --seed 2 --fault power-loss@op=sync,path=*-wal,n=17",
    "run-03-sqlite-off": f"{SQLITE} --seed 3 --set synchronous=off --promise durable"
    " --fault power-loss@op=write,path=*-wal,n=30",
    "run-04-sqlite-delete": f"{SQLITE} --seed 4 --set journal_mode=delete --model strict"
    " --fault power-loss-subset@op=write,n=60 --fault kill-op@op=write,n=20",
    "run-05-sqlite-damage": f"{SQLITE} --seed 5 --fault bit-flip@op=write,n=40"
    " --fault bad-sector@op=write,n=40",
    "run-06-sqlite-errors": f"{SQLITE} --seed 6 --fault disk-full@op=write,n=30"
    " --fault eio-sync@op=sync,n=9 --fault eio-write@op=write,n=25",
    "run-07-reference-sound": f"{REFERENCE} --seed 7 --fault kill@ack=25 --fault term@ack=25"
    " --fault power-loss@op=write,path=log-1,n=12 --fault power-loss-torn@op=sync,path=log-1,n=12",
    "run-08-reference-no-fsync": f"{REFERENCE} --seed 1 --set defect=no-fsync"
    " --fault power-loss@op=write,path=log-1,n=12",
    "run-09-reference-no-dir-fsync": f"{REFERENCE} --seed 1 --model strict"
    " --set defect=no-dir-fsync --fault power-loss@op=write,path=log-1,n=12",
    "run-10-reference-stale-lock": f"{REFERENCE} --seed 1 --set defect=stale-lock-refused"
    " --fault kill@ack=5",
    "run-11-reference-eio-ignored": f"{REFERENCE} --seed 1 --set defect=eio-ignored"
    " --fault eio-sync@op=sync,path=log-1,n=12",
    "run-12-reference-recovery": f"{REFERENCE} --seed 1 --set defect=recovery-in-place"
    " --fault kill-recovery@path=log-1,n=1,recovery",
}

# How the traces were made, with d90294f:
#   explore sqlite --seed 3 --txns 12 --clients 1
#   explore sqlite --seed 4 --txns 8 --clients 2 --set journal_mode=delete --set synchronous=normal
#   explore reference --seed 5 --txns 20 --clients 2 --set defect=rename-without-fsync --set snapshot_every=8
TRACES = {
    "explore-01-sqlite-wal": "sqlite-wal.trace --states 400",
    "explore-02-sqlite-delete": "sqlite-delete.trace --states 300 --promise durable",
    "explore-03-reference": "reference.trace --states 300 --recovery-depth 2",
}

# Wrong uses, and uses with nothing to do: the exit code and what is said.
USES = """
--version
targets
targets sqlite
targets reference
targets statehouse
targets interstice
targets vfab
targets ailee
targets driver
targets sqlit
faults
rum
run sqlit
run sqlite reference
run --set syncronous=off
run --set synchronous=of
run --set synchronous=off --set synchronous=full
run --set synchronous
run reference --set defect=no-fsnyc
run --set page_size=1000
run --fault kil
run --fault kill@n=zero
run --fault kill@op=wrote
run --fault kill@n=1,ack=2
run --fault kill@ack=2,depth=3
run --trial-seed 5
run --trial-seed 5 --fault kill --seed 6
run --seed seven
run --rounds 0
run --budget soon
run --clients 65
run --value-size 1048577
run --zipf 11
run --sector 100
run --device fast
run --model loose
run --promise forever
run --recovery-bound 2parsecs
run --fautl kill
run --json nowhere/report.json
run --shard 3/2
run driver
run interstice
explore --model loose
explore --trace nowhere.trace
explore --trace garbage
explore --txns 0
explore --states few
explore --shard 0/2
replay nowhere.json
replay garbage
growth --sizes 0
compare garbage garbage
compare nowhere.json garbage
merge garbage
merge
inspect vfab nowhere
inspect nothing nowhere
inspect ailee garbage
inspect interstice garbage
driver-check
attach
attach --config nowhere.toml
exec
completions fishy
""".strip().splitlines()


def normal(value):
    """A report without its clocks."""
    if isinstance(value, dict):
        return {key: normal(each) for key, each in value.items() if not CLOCK.match(key)}
    if isinstance(value, list):
        return [normal(each) for each in value]
    return value


def trial_lines(trials):
    """The trials of an exploration, six in a line: the state, its verdict, its kinds of findings."""
    words = []
    for trial in trials:
        kinds = [finding["kind"] for finding in trial["findings"]]
        words.append(":".join([trial["spec"], trial["verdict"], *kinds]))
    return ["trials " + " ".join(words[i:i + 6]) for i in range(0, len(words), 6)]


def report(ran):
    """What a case gives: the exit code, standard error, and the report."""
    try:
        value = normal(json.loads(ran.stdout))
        for trial in value["trial_log"]:
            trial["findings"] = [{"kind": finding["kind"]} for finding in trial["findings"]]
        if "coverage" in value:
            value["trial_log"] = trial_lines(value["trial_log"])
    except json.JSONDecodeError:
        value = ran.stdout.splitlines()
    return {"exit": ran.returncode, "stderr": ran.stderr.splitlines(), "report": value}


def run(binary, words, directory):
    return subprocess.run(
        [binary, *words], cwd=directory, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "COLUMNS": "100"},
    )


def texts(binary, directory):
    """Help of every command, and the uses above."""
    result = {}
    top = run(binary, ["--help"], directory)
    result["help"] = top.stdout.splitlines()
    listed = top.stdout.split("Commands:\n")[1].split("\n\n")[0]
    for line in listed.splitlines():
        command = line.split()[0]
        if line[2] != " " and command != "help":
            for form in ("-h", "--help"):
                result[f"{command} {form}"] = run(binary, [command, form], directory).stdout.splitlines()
    for use in USES:
        ran = run(binary, use.split(), directory)
        result[use] = {
            "exit": ran.returncode,
            "stdout": ran.stdout.splitlines(),
            "stderr": ran.stderr.splitlines(),
        }
    return result


def case(binary, name, directory):
    if name == "uses":
        return texts(binary, directory)
    if name in RUNS:
        words = RUNS[name].split()
    else:
        trace, *rest = TRACES[name].split()
        shutil.copy(HERE / trace, directory)
        words = ["explore", "--trace", trace, *rest]
    return report(run(binary, [*words, "--budget", "10m", "--format", "json", "-q"], directory))


def merge(one, other):
    """What two runs have in common; ANY where they differ."""
    if ANY in (one, other):
        return ANY
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: merge(one[key], other[key]) if key in one and key in other else ANY
                for key in one | other}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [merge(a, b) for a, b in zip(one, other)]
    return one if one == other else ANY


def lines(value, path=""):
    """A value as lines `path = leaf`, to compare."""
    if isinstance(value, dict) and value:
        return [line for key, each in value.items() for line in lines(each, f"{path}.{key}")]
    if isinstance(value, list) and value:
        return [line for i, each in enumerate(value) for line in lines(each, f"{path}[{i}]")]
    return [f"{path} = {json.dumps(value, ensure_ascii=False)}"]


def is_sentence(value):
    return isinstance(value, str) and " " in value.strip() and not value.startswith("trials ")


def is_text(value):
    return is_sentence(value) or isinstance(value, list) and value and all(is_sentence(v) or v == "" for v in value)


def fits(golden, now, behaviour):
    if golden == ANY:
        return True
    if behaviour and is_text(golden) and is_text(now):
        return True
    if isinstance(golden, dict) and isinstance(now, dict):
        # A field that is new takes nothing away.
        new = set() if not behaviour else now.keys() - golden.keys()
        return golden.keys() | new == now.keys() | {k for k in golden if golden[k] == ANY} and all(
            fits(golden[key], now.get(key), behaviour) for key in golden)
    if isinstance(golden, list) and isinstance(now, list):
        return len(golden) == len(now) and all(
            fits(a, b, behaviour) for a, b in zip(golden, now))
    return golden == now


def behaviour_of(name, value):
    """Of the uses, only the exit codes and whether something was printed are behaviour."""
    if name != "uses":
        return value
    return {use: {"exit": each["exit"], "printed": bool(each["stdout"])}
            for use, each in value.items() if isinstance(each, dict)}


def path_of(name):
    return HERE / f"{name}.json"


def compact(value, indent=0):
    """JSON with a trial, or any object without objects in it, on one line."""
    pad = " " * indent
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) < 100 or not isinstance(value, (dict, list)):
        return flat
    deep = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict) and not any(isinstance(v, (dict, list)) and v for v in deep):
        return flat
    if isinstance(value, dict):
        inner = [f"{pad} {json.dumps(k)}: {compact(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(inner) + f"\n{pad}}}"
    inner = [f"{pad} {compact(v, indent + 1)}" for v in value]
    return "[\n" + ",\n".join(inner) + f"\n{pad}]"


def update(binary, names, directory, widen):
    HERE.mkdir(exist_ok=True)
    seen = {name: json.loads(path_of(name).read_text()) for name in names if widen}
    for busy in (False, True):
        loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2 if busy else 0)]
        try:
            for name in names:
                for _ in range(BUSY if busy else IDLE):
                    if name == "uses" and name in seen:
                        continue
                    now = case(binary, name, directory)
                    seen[name] = merge(seen[name], now) if name in seen else now
        finally:
            for loop in loops:
                loop.kill()
                loop.wait()
    for name, value in seen.items():
        path_of(name).write_text(compact(value) + "\n")
        print(f"{name}: {sum(line.endswith('= ' + json.dumps(ANY)) for line in lines(value))} racy fields")
    return 0


def compare(binary, names, directory, behaviour):
    differ = 0
    for name in names:
        golden = json.loads(path_of(name).read_text())
        for _ in range(3):
            now = case(binary, name, directory)
            if fits(behaviour_of(name, golden) if behaviour else golden,
                    behaviour_of(name, now) if behaviour else now, behaviour):
                print(f"{name}: same")
                break
        else:
            differ += 1
            print(f"{name}: differs")
            shown = merge_any(golden, now)
            for line in difflib.unified_diff(lines(golden), lines(shown), "golden", "now", lineterm="", n=0):
                print(f"    {line[:300]}")
    print(f"{len(names) - differ} passed, {differ} failed")
    return 1 if differ else 0


def merge_any(golden, now):
    """What a run gave, with ANY where the golden output has it."""
    if golden == ANY:
        return ANY
    if isinstance(golden, dict) and isinstance(now, dict):
        return {key: merge_any(golden.get(key), now[key]) if key in golden else now[key] for key in now}
    if isinstance(golden, list) and isinstance(now, list) and len(golden) == len(now):
        return [merge_any(a, b) for a, b in zip(golden, now)]
    return now


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--behaviour", action="store_true")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--widen", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    binary = str(options.binary.resolve())
    names = [name for name in ["uses", *RUNS, *TRACES]
             if not options.only or any(part in name for part in options.only)]
    with tempfile.TemporaryDirectory() as directory:
        (pathlib.Path(directory) / "garbage").write_text("no report, no trace\n")
        if options.update or options.widen:
            return update(binary, names, directory, options.widen)
        return compare(binary, names, directory, options.behaviour)


if __name__ == "__main__":
    sys.exit(main())
