"""Models of several packages that take turns, each package in a process and an environment of its own."""

import json
import random
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.potentials._environment import OURS, ROOT, environment, peer_python

__all__ = ["MODULES", "Workers", "take_turns"]

#: Where the contenders of each package are defined.
MODULES = {
    OURS: "benchmarks.potentials._ours",
    "mace": "benchmarks.potentials.peers.mace_models",
    "schnetpack": "benchmarks.potentials.peers.schnetpack_models",
    "torchani": "benchmarks.potentials.peers.torchani_models",
}
#: A turn lasts about this long, s, and has at least one call and at most a number of them.
TURN = 0.25
MOST_CALLS = 50


class Workers:
    """The processes of the packages.

    Args:
        packages: that take part.
        threads: of every process.
        log: a file to which all processes write what their libraries print.
        variables: more of their environment.
    """

    def __init__(
        self, packages: Sequence[str], threads: int, log: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        self._log = log.open("w")
        self._environment = {**environment(threads), **(variables or {})}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        #: Of the packages that are compared.
        self.versions: dict[str, str] = {}
        for package in packages:
            self._start(package)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            if kind is not None:
                process.kill()
            process.communicate()
        self._log.close()

    def ask(self, package: str, name: str, kind: str, structures: Path, calls: int) -> dict[str, Any]:
        """Asks for times; a process that ends is started anew.

        Args:
            package: whose process is asked.
            name: of the contender.
            kind: ``batch`` or ``calculator``.
            structures: a file.
            calls: to time after one that warms up.

        Returns:
            What the contender answers: ``seconds`` of each call, or ``error``.
        """
        process = self._processes[package]
        request = {"name": name, "kind": kind, "structures": str(structures), "calls": calls}
        assert process.stdin is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = self._answer(package)
        if answer is None:
            self._start(package)
            return {"error": f"the process ended with status {process.wait()}"}
        return answer

    def _start(self, package: str) -> None:
        """Starts a package's process.

        Raises:
            RuntimeError: it ends at once.
        """
        module = ["-m", "benchmarks.potentials._worker", MODULES[package]]
        self._processes[package] = subprocess.Popen(
            [str(peer_python(package)), "-W", "ignore", *module],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        versions = self._answer(package)
        if versions is None:
            ending = Path(self._log.name).read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the process of {package} does not start:\n{ending}")
        self.versions |= versions

    def _answer(self, package: str) -> dict[str, Any] | None:
        stream = self._processes[package].stdout
        assert stream is not None
        line = stream.readline()
        return json.loads(line) if line else None


def take_turns(
    workers: Workers, contenders: Mapping[str, str], kind: str, structures: Path, rounds: int
) -> dict[str, dict[str, Any]]:
    """Returns times of contenders that take turns in random order.

    Args:
        workers: the processes.
        contenders: their packages by name.
        kind: ``batch`` or ``calculator``.
        structures: a file.
        rounds: how often everyone's turn comes.

    Returns:
        By name ``ms``, the median over rounds of the median of a turn; ``ms_low`` and ``ms_high``, the quartiles;
        ``fastest_ms``, of any call; ``turns_ms``, the medians in the order of the rounds; ``prepare_seconds`` until
        the first result; ``parameters``. Or ``error``.
    """
    found: dict[str, dict[str, Any]] = {}
    calls: dict[str, int] = {}
    for name, package in contenders.items():
        begun = time.perf_counter()
        answer = workers.ask(package, name, kind, structures, 2)
        print(f"  {name}: ready after {time.perf_counter() - begun:.0f} s", flush=True)
        if "error" in answer:
            found[name] = {"error": answer["error"]}
            continue
        found[name] = {key: answer[key] for key in ("prepare_seconds", "parameters")} | {"turns_ms": []}
        calls[name] = min(MOST_CALLS, max(1, round(TURN / min(answer["seconds"]))))
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(calls), len(calls)):
            answer = workers.ask(contenders[name], name, kind, structures, calls[name])
            if "error" in answer:
                found[name] = {"error": answer["error"]}
                del calls[name]
                continue
            found[name]["turns_ms"].append(1000 * statistics.median(answer["seconds"]))
            found[name]["fastest_ms"] = min(found[name].get("fastest_ms", float("inf")), 1000 * min(answer["seconds"]))
    for name in calls:
        low, middle, high = statistics.quantiles(found[name]["turns_ms"], n=4, method="inclusive")
        found[name] |= {"ms": middle, "ms_low": low, "ms_high": high, "calls_a_turn": calls[name]}
    return found
