"""The environment of a model: found in the cache, or built."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.preparation.build_commands import have_run, run_build_commands
from penstock.preparation.build_process import Report
from penstock.preparation.build_settings import BuildSettings, read_build_settings
from penstock.preparation.environment_cache import EnvironmentCache, Record
from penstock.preparation.errors import PreparationError
from penstock.preparation.installer import choose_installer, install
from penstock.preparation.interpreters import Interpreter, find_all, find_interpreter
from penstock.preparation.plan import (
    choose_python,
    commands_key,
    environment_key,
    missing_python,
    needs_environment,
)
from penstock.preparation.platform_python import PlatformPython, installed_version, this_python
from penstock.preparation.requirements import Requirements, read_requirements
from penstock.preparation.satisfied import is_satisfied
from penstock.preparation.virtual_environment import Broken, VirtualEnvironment
from penstock.truss import TrussConfig

ENVIRONMENTS_FOLDER = "environments"


@dataclass(frozen=True, slots=True)
class Environment:
    """What a model runs in."""

    python: Path | None
    """The interpreter; None for the platform's own."""
    keys: tuple[str, ...] = ()
    """Names in the cache, the one in front first."""
    problems: tuple[str, ...] = ()


def environments_of(cache_dir: Path, settings: BuildSettings) -> EnvironmentCache:
    return EnvironmentCache(cache_dir / ENVIRONMENTS_FOLDER, wait_s=settings.timeout_s)


def build_environment(
    config: TrussConfig,
    model_dir: Path,
    cache_dir: Path,
    report: Report,
    *,
    before_commands: Callable[[], object] = lambda: None,
    environ: Mapping[str, str] | None = None,
    platform: PlatformPython | None = None,
) -> Environment:
    """Finds or builds the environment that `config` asks for.

    Args:
        before_commands: Called when the requirements are installed, before the build commands run.

    Raises:
        PreparationError: It cannot be built.
    """
    environ = os.environ if environ is None else environ
    platform = this_python() if platform is None else platform
    choice = choose_python(config.python_version, platform_minor=platform.minor, lowest_minor=platform.lowest_minor)
    problems: tuple[str, ...] = (choice.problem,) if choice.problem else ()
    if not needs_environment(config, choice.minor, platform.minor):
        return Environment(None, problems=problems)
    builder = _Builder(
        model_dir=model_dir.absolute(),
        platform=platform,
        settings=(settings := read_build_settings(environ)),
        cache=environments_of(cache_dir, settings),
        environ=environ,
        report=report,
        minor=choice.minor,
    )
    requirements = read_requirements(config, model_dir.absolute())
    problems += requirements.problems
    key = ""
    if choice.minor != platform.minor or not _is_platform_enough(requirements):
        key = builder.install(requirements)
    elif requirements.lines:
        report("the requirements are met by the platform's own packages")
    keys = (key,) if key else ()
    if config.build_commands:
        before_commands()
        keys = (builder.run_commands(config.build_commands, key), *keys)
    if keys:
        over = builder.cache.trim(entries_max=settings.environments_max, bytes_max=settings.bytes_max, report=report)
        problems += (over,) if over else ()
    return Environment(builder.cache.place(keys[0]) / "bin" / "python" if keys else None, keys, problems)


def _is_platform_enough(requirements: Requirements) -> bool:
    return not requirements.constraints and all(is_satisfied(line, installed_version) for line in requirements.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    model_dir: Path
    platform: PlatformPython
    settings: BuildSettings
    cache: EnvironmentCache
    environ: Mapping[str, str]
    report: Report
    minor: str

    @property
    def is_foreign(self) -> bool:
        """Whether the environment is of another version of Python than the platform."""
        return self.minor != self.platform.minor

    def install(self, requirements: Requirements) -> str:
        """Returns the key of the environment that holds the requirements."""
        interpreter = self._interpreter()
        key = environment_key(
            requirements,
            python=str(interpreter),
            needs=self.platform.needs if self.is_foreign else (),
            install_args=self.settings.install_args,
        )
        with self.cache.hold(key, self.report) as lock_fd:
            environment = VirtualEnvironment(self.cache.place(key), self.minor)
            if self._is_usable(key, environment):
                self.report(f"environment {key} is there")
                return key
            self.cache.clear(key)
            try:
                self._build(environment, interpreter, requirements, lock_fd)
            except BaseException:
                self.cache.clear(key)
                raise
            lines = tuple(line.shown for line in requirements.lines)
            record = Record(minor=self.minor, fingerprint=self.platform.fingerprint(), lines=lines)
            self.cache.publish(key, record)
        return key

    def run_commands(self, commands: Sequence[str], base_key: str) -> str:
        """Returns the key of the environment in which the commands have run; the one of `base_key` is behind it."""
        interpreter = self._interpreter()
        key = commands_key(
            base_key, python=str(interpreter), commands=commands, model_dir=str(self.model_dir.resolve())
        )
        base = VirtualEnvironment(self.cache.place(base_key), self.minor) if base_key else None
        with self.cache.hold(key, self.report):
            environment = VirtualEnvironment(self.cache.place(key), self.minor)
            record = self.cache.find(key) if self._is_usable(key, environment) else None
            if record is not None and have_run(self.model_dir, record.token):
                self.report(f"the build commands have run before in {self.model_dir}")
                return key
            if record is None:
                self.cache.clear(key)
                record = Record(
                    minor=self.minor,
                    fingerprint=self.platform.fingerprint(),
                    lines=tuple(commands),
                    base=base_key,
                    token=uuid.uuid4().hex,
                )
            try:
                if not environment.python.exists():
                    self._make_front(environment, base, interpreter)
                run_build_commands(
                    commands,
                    folder=environment.folder,
                    model_dir=self.model_dir,
                    token=record.token,
                    environ=self.environ,
                    timeout_s=self.settings.timeout_s,
                    report=self.report,
                )
                if broken := environment.check(self.platform, self.environ):
                    raise _broken_error("build_commands", broken)
            except BaseException:
                self.cache.clear(key)
                raise
            self.cache.publish(key, replace(record, bytes=0))
        return key

    def _interpreter(self) -> Interpreter:
        if not self.is_foreign:
            return Interpreter(self.platform.executable, self.platform.version)
        found = find_interpreter(self.minor, self.environ)
        if found is None:
            lowest = self.platform.lowest_minor
            others = find_all(self.environ, lowest_minor=lowest, but=self.platform.minor)
            available = map(str, others)
            raise missing_python(self.minor, [f"{self.platform.version} (Penstock's own)", *available])
        return found

    def _is_usable(self, key: str, environment: VirtualEnvironment) -> bool:
        record = self.cache.find(key)
        if record is None or not environment.python.exists():
            return False
        if record.fingerprint == self.platform.fingerprint():
            return True
        self.report("the platform's packages have changed; checking whether the environment still goes with them")
        if environment.check(self.platform, self.environ) is not None:
            return False
        self.cache.publish(key, replace(record, fingerprint=self.platform.fingerprint()))
        return True

    def _build(
        self, environment: VirtualEnvironment, interpreter: Interpreter, requirements: Requirements, lock_fd: int
    ) -> None:
        started_at = time.monotonic()
        installer = choose_installer(self.settings, self.platform, self.environ)
        count = len(requirements.lines)
        self.report(
            f"building an environment with Python {interpreter.version} for {count} "
            f"{'line' if count == 1 else 'lines'} of requirements, with {installer.kind}"
        )

        def attempt(needs: Sequence[str]) -> Broken | None:
            environment.create(interpreter.path)
            if requirements.lines or needs:
                install(
                    requirements,
                    needs,
                    installer=installer,
                    python=environment.python,
                    work_dir=environment.folder,
                    model_dir=self.model_dir,
                    settings=self.settings,
                    environ=self.environ,
                    report=self.report,
                    lock_fd=lock_fd,
                )
            self._put_penstock_behind(environment)
            return environment.check(self.platform, self.environ)

        broken = attempt(self.platform.needs if self.is_foreign else ())
        if broken is not None and not self.is_foreign:
            # The requirements brought versions that Penstock cannot run with. There may be a set that suits both.
            self.report(f"these versions do not go with Penstock's own packages ({broken.error.splitlines()[0]})")
            self.report("building again, with the versions for both looked for together")
            first = broken
            self.cache.clear(environment.folder.name)
            try:
                broken = attempt(self.platform.needs)
            except PreparationError as exc:
                reason = "\n".join(str(exc).splitlines()[1:])
                raise PreparationError(
                    f"{_broken_error(requirements.origin, first)}\nNo set of versions suits both:\n{reason}"
                ) from None
        if broken is not None:
            raise _broken_error(requirements.origin, broken)
        self.report(f"environment built in {time.monotonic() - started_at:.1f} s: {environment.folder}")

    def _put_penstock_behind(self, environment: VirtualEnvironment) -> None:
        if self.is_foreign:
            environment.link_penstock(self.platform)
        else:
            environment.put_behind([*self.platform.site_folders, *self.platform.source_roots])
        environment.write_pip(self.platform)

    def _make_front(
        self, environment: VirtualEnvironment, base: VirtualEnvironment | None, interpreter: Interpreter
    ) -> None:
        """Makes an environment for build commands to install into, so that the one of the requirements, which other
        models may share, stays as it is."""
        environment.create(interpreter.path)
        if base is None:
            self._put_penstock_behind(environment)
            return
        environment.write_pip(self.platform)
        environment.put_environment_behind(base)


def _broken_error(origin: str, broken: Broken) -> PreparationError:
    if broken.culprits:
        which = "They bring " + ", ".join(broken.culprits[:5]) + "."
        advice = "Take the pins of these packages out, or choose versions that Penstock can run with."
    else:
        # Nothing of the model's stands in the way: the platform lacks something, or a module has a name of Penstock's.
        which = ""
        advice = "See which line brings the module of this error; if none does, install Penstock anew."
    lines = [f"{origin}: Penstock does not run with these packages: {broken.error}", which, advice]
    return PreparationError("\n".join(line for line in lines if line))
