"""The fuzzer's command line; README.md says when to use what."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.build import ROOT, build
from tests.fuzz.inputs import HERE, TARGETS, checker, escape, read_corpus, seeds, write_corpus
from tests.fuzz.mutate import Finding, run
from tests.wire.cases import unescape

MOST_BYTES = 2048  # of an input: enough for every state, since limits are chosen small
MOST_KEPT = 768  # bytes: longer inputs are seldom worth their place in the repository


def sanitized(library: Path) -> dict[str, str]:
    """The environment of a process that loads the sanitized build."""
    import atheris

    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(library), str(ROOT)]),
        "PYTHONMALLOC": "malloc",  # else ASan sees one block of 256 KiB for many objects
        "LD_PRELOAD": str(Path(atheris.path()) / "asan_with_fuzzer.so"),
        # The interpreter keeps much to its end; tests/test_leak.py looks for leaks.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def unpack(target: str, work: Path) -> Path:
    """The corpus as a directory of files, as libFuzzer wants it; what earlier runs found stays in it."""
    directory = work / "corpus" / target
    directory.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*read_corpus(target), *seeds(target)]):
        (directory / f"kept-{number:05d}").write_bytes(data)
    return directory


def artifacts(target: str, work: Path) -> Path:
    """Where libFuzzer puts the inputs that show a fault."""
    directory = work / "artifacts" / target
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def fuzz(target: str, *arguments: str, library: Path, work: Path) -> int:
    """One run of libFuzzer; its exit status."""
    options = [f"-max_len={MOST_BYTES}", f"-dict={HERE / 'dictionaries' / target}.dict", "-rss_limit_mb=4096"]
    options += ["-timeout=20", "-print_final_stats=1", f"-artifact_prefix={artifacts(target, work)}{os.sep}"]
    command = [sys.executable, "-m", "tests.fuzz.drive", target, *options, *arguments]
    log = work / f"{target}.log"
    with log.open("wb") as output:
        done = subprocess.run(command, cwd=ROOT, env=sanitized(library), stdout=output, stderr=output, check=False)
    said = log.read_text(errors="replace").splitlines()
    # Each new input is a line in the log; what it came to in the end is enough here, unless something was found.
    told = said[-60:] if done.returncode else [line for line in said if "DONE" in line or line.startswith("stat::")]
    print(*told, f"all of it: {log}", sep="\n", flush=True)
    return done.returncode


def long_run(targets: list[str], seconds: int, work: Path) -> int:
    library = build(work)
    bad = []
    for target in targets:
        print(f"== {target}: {seconds} s", flush=True)
        corpus = unpack(target, work)
        before = set(artifacts(target, work).iterdir())
        if fuzz(target, f"-max_total_time={seconds}", str(corpus), library=library, work=work):
            found = set(artifacts(target, work).iterdir()) - before
            for path in found:
                print(f"{target}: {path}\n  {escape(path.read_bytes())}")
            bad.append(f"{target}: {'found something' if found else 'did not run'}")
    print("; ".join(bad) or "clean")
    return bool(bad)


def keep(targets: list[str], work: Path) -> int:
    """Put the smallest set of inputs that reaches all that was reached into the repository."""
    library = build(work)
    for target in targets:
        found = unpack(target, work)
        merged = work / "merged" / target
        shutil.rmtree(merged, ignore_errors=True)
        merged.mkdir(parents=True)
        if fuzz(target, "-merge=1", str(merged), str(found), library=library, work=work):
            return 1
        inputs = [data for path in merged.iterdir() if len(data := path.read_bytes()) <= MOST_KEPT]
        if not inputs:
            print(f"{target}: the merge gave nothing")
            return 1
        write_corpus(target, inputs)
        print(f"{target}: {len(inputs)} inputs kept")
    return 0


def short_run(targets: list[str], count: int, seed: int) -> int:
    for target in targets:
        start = time.perf_counter()
        try:
            total = run(target, count, seed)
        except Finding as finding:
            print(f"{target}: {finding}\n  {escape(finding.data)}")
            return 1
        print(f"{target}: {total} inputs in {time.perf_counter() - start:.1f} s")
    return 0


def main() -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    long = commands.add_parser("run", help="coverage-guided, under AddressSanitizer and UBSan")
    long.add_argument("--seconds", type=int, default=180, help="for each target (180)")
    kept = commands.add_parser("keep", help="put what the runs found into the repository's corpus")
    for each in (long, kept):
        each.add_argument("--work", type=Path, default=ROOT / "build" / "fuzz", help="build, corpus, findings")
    short = commands.add_parser("short", help="mutations of the corpus, with the ordinary build and no tool")
    short.add_argument("--inputs", type=int, default=5000, help="for each target (5000)")
    short.add_argument("--seed", type=int, default=1)
    for each in (long, kept, short):
        each.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; all when none is named")
    replay = commands.add_parser("replay", help="check one input")
    replay.add_argument("target", choices=TARGETS)
    replay.add_argument("input", help="a file, or the input itself in the corpus's notation")
    options = parser.parse_args()

    if options.command == "replay":
        path = Path(options.input)
        is_file = len(options.input) < 4096 and path.is_file()
        checker(options.target)(path.read_bytes() if is_file else unescape(options.input).encode("latin-1"))
        return 0
    targets = options.targets or list(TARGETS)
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if options.command == "short":
        return short_run(targets, options.inputs, options.seed)
    if options.command == "keep":
        return keep(targets, options.work.resolve())
    return long_run(targets, options.seconds, options.work.resolve())


if __name__ == "__main__":
    sys.exit(main())
