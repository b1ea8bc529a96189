"""Processes that are killed, stopped or asked to end, while they train.

    python experiments/faults/processes.py --folder=/tmp/faults

Killed (kill -9): one of two workers of the stream; one process of two and of four, the first one
and another. Silent (stopped, as behind a cut link): one of two processes for 5 s, and for ever.
Asked to end (SIGTERM): while importing, compiling, in a step, in a save, in an evaluation, with
workers, and each of two processes. Wanted: after a death exit code 1 in one line within 10 s in
every process that is left (60 s after a silence), no process left over, and the same command
resumes; after SIGTERM exit code 143 within 30 s, and at most one step lost.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

from tiny import arguments, one_line, row, training  # beside this script

from hparse_jax.workdir import saved_steps

STEPS = 10_000  # more than any case lasts


def main() -> int:
    """Prints the rows; 1 when a case did not end as wanted."""
    options = arguments(__doc__)
    problems = []
    for name, case in CASES.items():
        if time.monotonic() > options.end:
            print(f"not begun: {name}")
            continue
        workdir = options.folder / "job"
        shutil.rmtree(workdir, ignore_errors=True)
        figures, found = case(options.folder, workdir)
        row(name, **figures, problems=len(found))
        problems += [f"{name}: {problem}" for problem in found]
    print(*problems, sep="\n")
    return 1 if problems else 0


def killed_worker(folder: pathlib.Path, workdir: pathlib.Path):
    job = Job(training(folder, workdir, steps=STEPS, workers=2), workdir)
    job.until_step(3)
    worker = next(x for x in children(job.processes[0].pid) if "spawn_main" in command_of(x))
    os.kill(worker, signal.SIGKILL)
    return job.ends_with(1, 10, "a worker of the training stream has died")


def killed_process(count: int, index: int):
    def case(folder: pathlib.Path, workdir: pathlib.Path):
        job = Job(training(folder, workdir, steps=STEPS, batch_size=4), workdir, count)
        job.until_step(3)
        os.killpg(job.processes[index].pid, signal.SIGKILL)
        return job.ends_with(1, 10, "start all of them again", without=index)

    return case


def silent_process(folder: pathlib.Path, workdir: pathlib.Path):
    """For 5 s, after which the job goes on; then for ever."""
    job = Job(training(folder, workdir, steps=STEPS), workdir, 2)
    job.until_step(3)
    job.processes[1].send_signal(signal.SIGSTOP)
    time.sleep(5)
    job.processes[1].send_signal(signal.SIGCONT)
    job.until_step(max(saved_steps(workdir)) + 3)
    job.processes[1].send_signal(signal.SIGSTOP)
    figures, problems = job.ends_with(1, 60, "", without=1)
    os.killpg(job.processes[1].pid, signal.SIGKILL)
    return figures, problems


def asked(moment: str, count: int = 1, **fields):
    """moment: how many seconds after the start, or after which words of the output."""

    def case(folder: pathlib.Path, workdir: pathlib.Path):
        job = Job(training(folder, workdir, steps=STEPS, **fields), workdir, count)
        if moment.replace(".", "").isdigit():
            time.sleep(float(moment))
        elif moment.startswith("step "):
            job.until_step(int(moment.removeprefix("step ")))
        else:
            job.until_words(moment)
        before = max(saved_steps(workdir), default=0)
        job.processes[-1].send_signal(signal.SIGTERM)
        return job.ends_with(143, 30, "", least=before)

    return case


class Job:
    """Processes of one training, each in a group of its own; their output goes to files."""

    def __init__(self, command: list[str], workdir: pathlib.Path, count: int = 1):
        self.workdir, self.processes, self.logs = workdir, [], []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        workdir.parent.mkdir(exist_ok=True)
        for index in range(count):
            more = [f"--coordinator={address}", f"--num_processes={count}", f"--process_id={index}"]
            log = workdir.parent / f"process{index}.log"
            self.logs.append(log)
            with log.open("w") as output:
                process = subprocess.Popen(
                    [*command, *(more if count > 1 else [])],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self.processes.append(process)

    def until_step(self, step: int) -> None:
        """Waits for the checkpoint of a step."""
        self._until(lambda: max(saved_steps(self.workdir), default=0) >= step)

    def until_words(self, words: str) -> None:
        self._until(lambda: words in self.logs[0].read_text())

    def _until(self, condition) -> None:
        end = time.monotonic() + 300
        while not condition():
            alive = all(process.poll() is None for process in self.processes)
            if not alive or time.monotonic() > end:
                self.end()
                sys.exit(f"the training ended too early: {self.logs[0].read_text()[-2000:]}")
            time.sleep(0.02)

    def ends_with(self, code: int, seconds: float, words: str, without: int = -1, least: int = 0):
        """(figures, problems) of the processes but one, after what was done to them.

        least: the step that was saved before; one after it, or itself, must be saved at the end.
        """
        begin, problems = time.monotonic(), []
        for index, process in enumerate(self.processes):
            if index == without:
                continue
            try:
                process.wait(max(1.0, 150 - (time.monotonic() - begin)))
            except subprocess.TimeoutExpired:
                problems.append(f"process {index} hangs")
                os.killpg(process.pid, signal.SIGKILL)
            # Python's own note of the shared memory that it cleared after a killed worker follows
            log = re.split(r"\n.*resource_tracker", self.logs[index].read_text())[0]
            # -15 is what a shell reports as 143, where nothing had begun yet
            if process.returncode != code and (code, process.returncode) != (143, -15):
                problems.append(f"exit code {process.returncode}: {log[-300:]}")
            elif code == 1 and not (one_line(log, "train") and words in log):
                problems.append(f"not one line: {log[-600:]}")
        took = time.monotonic() - begin
        if took > seconds:
            problems.append(f"{took:.0f} s, more than {seconds}")
        if max(saved_steps(self.workdir), default=0) < least:
            problems.append(f"step {least} is lost")
        left = [x for p in self.processes for x in group_of(p.pid) if x != self.silent(without)]
        if left:
            problems.append(f"left over: {left}")
        return {"seconds": f"{took:.1f}"}, problems

    def end(self) -> None:
        for process in self.processes:
            for pid in group_of(process.pid):
                os.kill(pid, signal.SIGKILL)

    def silent(self, index: int) -> int:
        return self.processes[index].pid if index >= 0 else 0


def children(pid: int) -> list[int]:
    return [x for x in group_of(pid) if x != pid]


def group_of(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = re.sub(r"^\d+ \(.*\) ", "", status.read_text()).split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def command_of(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


CASES = {
    "a worker killed": killed_worker,
    "the second of two processes killed": killed_process(2, 1),
    "the first of two processes killed": killed_process(2, 0),
    "the third of four processes killed": killed_process(4, 2),
    "SIGTERM while importing": asked("1"),
    "SIGTERM while compiling": asked("photos, "),
    "SIGTERM in a step": asked("step 3", checkpoint_every=3),
    "SIGTERM in a save": asked("step 3"),
    "SIGTERM in an evaluation": asked("step 4", eval_every=1),
    "SIGTERM with workers": asked("step 3", workers=2),
    "SIGTERM to one of two processes": asked("step 3", count=2),
    "a process silent for 5 s, then for ever": silent_process,
}


if __name__ == "__main__":
    sys.exit(main())
