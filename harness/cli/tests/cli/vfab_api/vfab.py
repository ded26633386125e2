"""A small vfab for plugpull's tests: the commands and the Python API that plugpull uses, with every
promise kept. One flaw is seeded where FLAW names it. There is no statistics database.
"""

import json
import os
import shutil
import sys
import tarfile
from enum import Enum
from pathlib import Path

FLAW = (Path(__file__).parent.parent / "flaw").read_text()
NEXT = {
    "NEW": ["READY", "ABORTED"],
    "READY": ["QUEUED", "ABORTED"],
    "QUEUED": ["ARMED", "ABORTED"],
    "ARMED": ["PLOTTING", "ABORTED"],
    "PLOTTING": ["PAUSED", "COMPLETED", "ABORTED"],
    "PAUSED": ["PLOTTING", "ABORTED"],
    "COMPLETED": [],
    "ABORTED": [],
}
JobState = Enum("JobState", {name: name for name in NEXT})


class load_config:
    def __init__(self, _path):
        self.workspace = Path(os.environ["HOME"]) / ".local/share/vfab/workspace"


def jobs():
    return load_config(None).workspace / "jobs"


def sync(path):
    number = os.open(path, os.O_RDONLY)
    os.fsync(number)
    os.close(number)


def put(path, data):
    """Puts bytes in the place of a file, whole or not at all."""
    beside = path.with_suffix(".new")
    beside.write_bytes(data)
    sync(beside)
    os.replace(beside, path)
    sync(path.parent)


class JobFSM:
    """A job; its journal is the truth, and what is behind it is mended when it is loaded."""

    def __init__(self, job, workspace):
        self.job_id = job
        self.directory = Path(workspace) / "jobs" / job
        self.journal = self.directory / "journal.jsonl"
        self.changes = []
        bytes_ = self.journal.read_bytes() if self.journal.exists() else b""
        good = []
        for line in bytes_.splitlines(keepends=True):
            try:
                self.changes.append(JobState[json.loads(line)["to_state"]])
                good.append(line)
            except ValueError:
                continue
        # A torn line may have lost its end or its beginning.
        if FLAW != "torn-tail-kept" and b"".join(good) != bytes_:
            put(self.journal, b"".join(good))

    @property
    def current_state(self):
        return self.changes[-1] if self.changes else JobState.NEW

    def tell(self):
        shown = {"id": self.job_id, "state": self.current_state.value}
        put(self.directory / "job.json", json.dumps(shown).encode())

    def force(self, state):
        line = {
            "type": "state_change",
            "job_id": self.job_id,
            "from_state": self.current_state.value,
            "to_state": state.value,
            # Longer than a sector, so that it can be torn.
            "reason": "-" * 900,
        }
        with open(self.journal, "ab") as journal:
            journal.write(json.dumps(line).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())
        sync(self.directory)
        self.changes.append(state)
        self.tell()
        return True

    def transition_to(self, state, _reason=""):
        return state.value in NEXT[self.current_state.value] and self.force(state)

    def queue_ready_job(self):
        return self.transition_to(JobState.QUEUED)

    def arm_job(self):
        return self.transition_to(JobState.ARMED)

    def start_plotting(self):
        return self.transition_to(JobState.PLOTTING)

    def resume_plotting(self):
        return self.transition_to(JobState.PLOTTING)

    def complete_job(self):
        return self.transition_to(JobState.COMPLETED)


def create_fsm(job, workspace):
    return JobFSM(job, workspace)


class get_crash_recovery:
    def __init__(self, workspace):
        self.workspace = workspace

    def recover_job(self, job):
        fsm = JobFSM(job, self.workspace)
        if FLAW == "cannot-complete":
            fsm.force = lambda _state: False
        return fsm


class Anything:
    """Stands for the checklist and the database, which have no part in recovery here."""

    id = name = None

    def __init__(self, *_args, **_named):
        pass

    def __getattr__(self, _name):
        return lambda *_args, **_named: self

    def __enter__(self):
        return self

    def __exit__(self, *_why):
        return False

    def __iter__(self):
        return iter(())


create_checklist = get_session = Job = Paper = Anything
for part in ("checklist", "config", "db", "fsm", "models", "recovery"):
    sys.modules[f"vfab.{part}"] = sys.modules[__name__]


def add(name, path):
    beside = jobs().parent / "incoming" / name
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    jobs().mkdir(parents=True, exist_ok=True)
    put(beside / "multipen.plob", Path(path).read_bytes())
    put(beside / "job.json", json.dumps({"id": name, "state": "NEW"}).encode())
    os.rename(beside, jobs() / name)
    for directory in (jobs(), *jobs().parents):
        sync(directory)
        if str(directory) == os.environ["HOME"]:
            break
    fsm = JobFSM(name, jobs().parent)
    if fsm.transition_to(JobState.READY) and fsm.queue_ready_job():
        print(f"Added and queued job: {name}")


def every_job():
    return [JobFSM(directory.name, jobs().parent) for directory in sorted(jobs().glob("*"))]


def resume_all():
    for fsm in every_job():
        state = fsm.current_state
        interrupted = state in (JobState.ARMED, JobState.PLOTTING, JobState.PAUSED)
        if interrupted:
            print(f"  • {fsm.job_id} (state: {state.value})")
        if FLAW == "resume-aborts" and interrupted:
            fsm.force(JobState.ABORTED)
        elif FLAW == "completed-reopened" and state == JobState.COMPLETED:
            fsm.force(JobState.QUEUED)
        elif FLAW == "plotted-twice" and interrupted:
            lines = fsm.journal.read_bytes().split(b"\n")[:2]
            put(fsm.journal, b"".join(line + b"\n" for line in lines))
            fsm.changes = fsm.changes[:2]
            fsm.tell()
        elif FLAW == "not-drawn" and state == JobState.PLOTTING:
            fsm.force(JobState.COMPLETED)
        elif FLAW == "recovery-twice" and state == JobState.PLOTTING:
            fsm.force(JobState.PAUSED)
        elif FLAW == "recovery-twice" and state == JobState.PAUSED:
            fsm.force(JobState.PLOTTING)
        elif FLAW != "document-behind":
            fsm.tell()


def resume_dry(job):
    state = JobFSM(job, jobs().parent).current_state.value
    if FLAW == "resume-disagrees":
        state = "NEW"
    print(f"Will resume job '{job}' from state '{state}'")


def described(fsm):
    return {"id": fsm.job_id, **json.loads((fsm.directory / "job.json").read_text())}


def info(job):
    about = described(JobFSM(job, jobs().parent))
    if FLAW == "info-disagrees":
        about["state"] = "NEW"
    print(json.dumps({"job": about}))


def export():
    backup = Path(os.environ["HOME"]) / "export_all.tgz"
    with tarfile.open(backup, "w:gz") as archive:
        for path in jobs().rglob("*"):
            if path.is_file() and not (FLAW == "not-brought-back" and path.suffix == ".jsonl"):
                archive.add(path, path.relative_to(jobs()))
    print(f"Export completed: {backup}")


def import_(path):
    if FLAW == "import-refused":
        sys.exit("Invalid backup file format")
    with tarfile.open(path) as archive:
        archive.extractall(jobs())


def main(args):
    match args:
        case ["add", "job", name, path, "--apply"]:
            add(name, path)
        case ["list", "jobs", *_]:
            print(json.dumps([described(fsm) for fsm in every_job()]))
        case ["resume", "--apply"]:
            resume_all()
        case ["resume", job]:
            resume_dry(job)
        case ["restart", job, "--apply"]:
            (jobs() / job / "journal.jsonl").unlink(missing_ok=True)
            JobFSM(job, jobs().parent).tell()
        case ["info", "job", job, "--json"]:
            info(job)
        case ["system", "export", "all", "--apply"]:
            export()
        case ["system", "import", path]:
            import_(path)
        case _:
            sys.exit(f"what is {args}?")
