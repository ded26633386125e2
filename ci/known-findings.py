#!/usr/bin/env python3
"""Runs a real target as its list of known findings says, and compares what is found with the list.

    ci/known-findings.py [--plugpull PATH] [--report DIR] LIST [-- OPTION...]

LIST is a TOML file, for example targets/drivers/statehouse/known.toml:

    target = "statehouse"

    [[run]]
    command = "run"                          # or "explore"
    options = "--seed 1 --rounds 5 --fault kill"

    [[run.finding]]
    kind = "torn-transaction"
    fault = "kill"                           # for explore the model; "*" for any
    seen = "9 of 20 trials"                  # for readers
    always = true                            # it must be found; else it may

Options after -- are added to every run (--set bin=PATH, say).

A finding that is not listed is new; one that is listed with always = true and was not found has
vanished. Exit code 0: all as listed. 1: something is new or has vanished. 2: wrong use.
3: the target is not installed, or plugpull itself failed.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

try:
    import tomllib
except ImportError:
    sys.exit("known-findings.py needs Python 3.11 or newer (tomllib)")

WRONG_USE, FAILED = 2, 3


def fail(code, why):
    print(f"known-findings: {why}", file=sys.stderr)
    sys.exit(code)


def read_list(path):
    """The list, checked as far as a typing error would make it pass for nothing."""
    try:
        listed = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        fail(WRONG_USE, f"{path}: {error}")
    if not isinstance(listed.get("target"), str) or not listed.get("run"):
        fail(WRONG_USE, f"{path}: it wants a target and at least one [[run]]")
    for run in listed["run"]:
        if run.get("command") not in ("run", "explore") or "options" not in run:
            fail(WRONG_USE, f'{path}: a run wants command = "run" or "explore", and options')
        if not isinstance(run.get("finding", []), list):
            fail(WRONG_USE, f"{path}: a finding is written [[run.finding]]")
        for finding in run.get("finding", []):
            unknown = set(finding) - {"kind", "fault", "seen", "always", "note"}
            if unknown or not {"kind", "fault", "seen"} <= set(finding):
                fail(WRONG_USE, f"{path}: not kind, fault and seen: {finding}")
    return listed


def found_by(plugpull, target, run, more, report):
    """What one run finds: a set of (kind, fault)."""
    command = [plugpull, run["command"], target, *shlex.split(run["options"]), *more]
    print("$", shlex.join(command), flush=True)
    ended = subprocess.run([*command, "--quiet", "--json", report], check=False)
    if ended.returncode == WRONG_USE:
        sys.exit(WRONG_USE)
    if ended.returncode not in (0, 1):
        fail(FAILED, f"plugpull ended with {ended.returncode}: nothing can be compared")
    findings = json.loads(pathlib.Path(report).read_text())["findings"]
    return {(finding["kind"], finding["fault"].partition("@")[0]) for finding in findings}


def compare(run, found):
    """One line for each finding that is not as it is listed."""
    listed = run.get("finding", [])

    def fits(entry, kind, fault):
        return entry["kind"] == kind and entry["fault"] in (fault, "*")

    for kind, fault in sorted(found):
        if not any(fits(entry, kind, fault) for entry in listed):
            yield f"new: {kind} under {fault}"
    for entry in listed:
        there = any(fits(entry, kind, fault) for kind, fault in found)
        if entry.get("always") and not there:
            yield f"vanished: {entry['kind']} under {entry['fault']} (seen in {entry['seen']})"


def main():
    args = sys.argv[1:]
    more = []
    if "--" in args:
        at = args.index("--")
        args, more = args[:at], args[at + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plugpull", default="plugpull", help="the program (default: on PATH)")
    parser.add_argument("--report", type=pathlib.Path, help="keep the JSON reports in this directory")
    parser.add_argument("list", type=pathlib.Path)
    given = parser.parse_args(args)
    listed = read_list(given.list)
    differences = []
    with tempfile.TemporaryDirectory() as scratch:
        directory = given.report or pathlib.Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        for number, run in enumerate(listed["run"], 1):
            report = str(directory / f"{listed['target']}-{number}.json")
            try:
                found = found_by(given.plugpull, listed["target"], run, more, report)
            except OSError as error:
                fail(FAILED, error)
            differences += [f"run {number}: {line}" for line in compare(run, found)]
    for line in differences:
        print(f"known-findings: {line}")
    if differences:
        print(f"known-findings: {given.list} and {listed['target']} differ")
        return 1
    print(f"known-findings: {listed['target']} is as {given.list} says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
