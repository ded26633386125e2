"""Takes a job of vfab to COMPLETED through vfab's own Python API.

    python -c THIS-TEXT fresh|recovered JOB STROKES LOG

`fresh` is for a job that was just added, `recovered` for one that was interrupted, which comes from
vfab's own CrashRecovery. The plotter is simulated: for each job it writes to LOG, and syncs, a line
for the sheet that it is begun on, one for each stroke that it draws, and `done` once vfab said that
the job is COMPLETED. What a pass lacks is drawn on the sheet it was begun on; a job that vfab has
started again gets a new sheet.

The last line printed is JSON: the job's state, the way that it took, and the step that was refused.
"""

import json
import os
import sys
from pathlib import Path

from vfab.checklist import create_checklist
from vfab.config import load_config
from vfab.db import get_session
from vfab.fsm import JobState, create_fsm
from vfab.models import Job, Paper
from vfab.recovery import get_crash_recovery


class Plotter:
    """Draws the strokes of one job, and logs what it does before it does it."""

    def __init__(self, log, job, strokes):
        self.log, self.job, self.strokes = Path(log), job, strokes

    def note(self, word):
        with open(self.log, "ab") as log:
            log.write(f"{self.job} {word}\n".encode())
            log.flush()
            os.fsync(log.fileno())

    def begin(self):
        self.note("sheet")

    def drawn(self):
        """The strokes on the sheet in the plotter; none where it has no sheet of this job."""
        sheet = None
        for line in self.log.read_bytes().split(b"\n")[:-1]:
            job, _, word = line.decode(errors="replace").rpartition(" ")
            if job == self.job:
                if word == "sheet":
                    sheet = []
                elif word.isdigit() and sheet is not None:
                    sheet.append(int(word))
        return sheet

    def draw_the_rest(self):
        if self.drawn() is None:
            self.begin()
        for stroke in range(1, self.strokes + 1):
            if stroke not in self.drawn():
                self.note(str(stroke))


def set_up(job, workspace):
    """What a user does before a job is armed, and no command does: ticks, paper, and its row."""
    checklist = create_checklist(job, workspace / "jobs" / job)
    for item in checklist.get_required_items():
        if not item.completed:
            checklist.complete_item(item.name)
    with get_session() as session:
        paper = session.query(Paper).filter(Paper.name == "A4").first()
        if paper is None:
            paper = Paper(name="A4", width_mm=210.0, height_mm=297.0)
            session.add(paper)
            session.flush()
        if session.query(Job).filter(Job.id == job).first() is None:
            # The table's state is vfab's to keep, and it does not; NEW holds no paper.
            session.add(Job(id=job, name=job, paper_id=paper.id, state="NEW"))


def step(fsm, plotter, workspace):
    """Goes one step on. Returns whether vfab did it, and the step's name; none at an end."""
    state = fsm.current_state
    if state == JobState.NEW:
        return fsm.transition_to(JobState.READY, "ready to queue"), "READY"
    if state == JobState.READY:
        return fsm.queue_ready_job(), "queue_ready_job"
    if state == JobState.QUEUED:
        set_up(fsm.job_id, workspace)
        return fsm.arm_job() and fsm.current_state == JobState.ARMED, "arm_job"
    if state == JobState.ARMED:
        did = fsm.start_plotting()
        if did:
            plotter.begin()
        return did, "start_plotting"
    if state == JobState.PAUSED:
        return fsm.resume_plotting(), "resume_plotting"
    if state == JobState.PLOTTING:
        plotter.draw_the_rest()
        return fsm.complete_job(), "complete_job"
    return False, None


def main(how, job, strokes, log):
    workspace = Path(load_config(None).workspace)
    plotter = Plotter(log, job, int(strokes))
    fsm = None
    if how == "recovered":
        fsm = get_crash_recovery(workspace).recover_job(job)
    if fsm is None:
        fsm = create_fsm(job, workspace)
    way = [fsm.current_state.value]
    refused = None
    # The way has seven states at most; anything longer goes in a circle.
    while fsm.current_state != JobState.COMPLETED and len(way) < 12:
        did, name = step(fsm, plotter, workspace)
        if not did:
            refused = name or f"nothing follows {way[-1]}"
            break
        way.append(fsm.current_state.value)
        if way[-1] == "COMPLETED":
            plotter.note("done")
    print(json.dumps({"state": fsm.current_state.value, "way": way, "refused": refused}))


main(*sys.argv[1:])
