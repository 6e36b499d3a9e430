"""The pytest plugin: `pytest --preflight-config CONFIG` makes every contract a test item.

It is loaded into every pytest run on the machine, so nothing but pytest is imported before an option of ours is given.
The items are made from the catalogue, before anything is looked at: what `-k`, `-m` and node ids leave decides what is
run. Under xdist the facts are gathered once, by the controller, and travel to the workers as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config
    from preflight_ocr.harness.facts import Facts
    from preflight_ocr.harness.judging.findings import Outcome
    from preflight_ocr.harness.judging.header import Diagnosis
    from preflight_ocr.harness.verdict.contracts import Contract, Judgement

_FACTS = "preflight_facts"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options `--preflight-*`."""
    group = parser.getgroup("preflight", "contracts between model, processor, collator, adapter and versions")
    group.addoption("--preflight-config", metavar="CONFIG", help="Check the setup in this YAML file.")
    group.addoption(
        "--preflight-command",
        metavar="COMMAND",
        help="Check your own training command, held where its training would begin; needs --preflight-trust.",
    )
    group.addoption(
        "--preflight-level",
        choices=("read", "ran", "gpu"),
        help="How far to look (default: ran; gpu when -m gpu asks for it).",
    )
    group.addoption("--preflight-fresh", action="store_true", help="Take nothing over from the last check.")
    group.addoption("--preflight-trust", action="store_true", help="Allow the model's and your own code to run.")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that contracts carry."""
    config.addinivalue_line("markers", "gpu: needs an accelerator")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist, in the controller, once per worker: hand it the facts, which are gathered for the first one."""
    if _find_subject(node.config):
        controller = node.config.pluginmanager
        gathered = controller.get_plugin(_FACTS)
        if gathered is None:
            # What the workers will choose is not known here.
            gathered = _Gathered(_gather(node.config, chosen=()).to_json().decode("utf-8"))
            controller.register(gathered, _FACTS)
        node.workerinput[_FACTS] = gathered.text


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The configuration named on the command line is a file of contracts: `preflight.yaml::LBL001-copied_labels`."""
    given = parent.config.getoption("preflight_config")
    if given and file_path == Path(given).absolute():
        found: pytest.Collector = Contracts.from_parent(parent, path=file_path)
        return found
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the contracts in front of the other tests, before -k and -m choose among them."""
    subject = _find_subject(config)
    if not subject:
        return
    _load(config)  # what cannot be used is said before anything is chosen
    if any(isinstance(item, ContractItem) for item in items):
        return
    name = Path(subject).name if config.getoption("preflight_config") else "command"
    contracts = Contracts.from_parent(session, name=name, nodeid=name, path=Path(subject).absolute())
    # Through the hooks, so that the terminal counts the contracts among the collected items.
    collected = config.hook.pytest_make_collect_report(collector=contracts)
    config.hook.pytest_collectreport(report=collected)
    items[:0] = collected.result


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Look at what the chosen contracts need, and judge them."""
    chosen = [item for item in session.items if isinstance(item, ContractItem)]
    if not chosen or session.config.getoption("collectonly"):
        return
    from preflight_ocr.harness.facts import Facts
    from preflight_ocr.harness.verdict.contracts import judge_all

    given = getattr(session.config, "workerinput", {}).get(_FACTS)
    diagnoses = tuple(item.contract.diagnosis for item in chosen)
    facts = Facts.from_json(given) if given else _gather(session.config, chosen=diagnoses)
    judgements = {judgement.contract.id: judgement for judgement in judge_all((i.contract for i in chosen), facts)}
    for item in chosen:
        item.judgement = judgements[item.contract.id]


class _Gathered:
    """Facts as JSON, kept in the controller's plugin manager for the next worker."""

    def __init__(self, text: str) -> None:
        self.text = text


class Contracts(pytest.File):
    """All contracts of one configuration or one command."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item per contract, in the order of the codes."""
        from preflight_ocr.harness.facts import Facts
        from preflight_ocr.harness.verdict.contracts import derive

        for contract in derive(Facts()):
            yield ContractItem.from_parent(self, name=contract.id, contract=contract)


class ContractItem(pytest.Item):
    """One contract, judged together with all that were chosen: judging is a pure function of the facts."""

    def __init__(self, *, contract: Contract, **pytest_arguments: Any) -> None:
        super().__init__(**pytest_arguments)
        from preflight_ocr.harness.judging.findings import Basis

        self.contract = contract
        self.judgement: Judgement | None = None
        if contract.diagnosis.basis is Basis.GPU:
            self.add_marker("gpu")

    def setup(self) -> None:
        """What was not looked at is skipped; a contract our own judging raised on is an error, not a failure."""
        from preflight_ocr.harness.judging.findings import Crashed, NotApplicable, Skipped

        outcome = self._get_outcome()
        if isinstance(outcome, Skipped):
            raise pytest.skip.Exception(outcome.reason, _use_item_location=True)
        if isinstance(outcome, NotApplicable):
            raise pytest.skip.Exception(f"not applicable: {outcome.reason}", _use_item_location=True)
        if isinstance(outcome, Crashed):
            raise Unjudged(outcome.error)

    def runtest(self) -> None:
        """Fail with the findings where the contract does not hold."""
        from preflight_ocr.harness.judging.findings import Broken

        outcome = self._get_outcome()
        if isinstance(outcome, Broken):
            from preflight_ocr.reports.terminal import explain_broken

            raise BrokenContract(explain_broken(outcome))

    def _get_outcome(self) -> Outcome:
        if self.judgement is None:
            raise Unjudged("the contract was not judged: pytest did not finish collecting")
        return self.judgement.outcome

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The finding, not a traceback: the fault is not in Python code of ours."""
        if isinstance(excinfo.value, BrokenContract | Unjudged):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is shown to be: the configuration, or the folder in which the command runs."""
        given = self.config.getoption("preflight_config")
        return Path(given) if given else self.config.invocation_params.dir, 0, self.name


class BrokenContract(Exception):
    """A contract does not hold; the message is the findings."""


class Unjudged(Exception):
    """Our own judging raised."""


def _find_subject(config: pytest.Config) -> str | None:
    """The configuration or the command that was given; None where the run is none of ours."""
    found: str | None = config.getoption("preflight_config") or config.getoption("preflight_command")
    return found


def _load(config: pytest.Config) -> Config | None:
    """The configuration with the trust that was given; None for a command. Raises pytest.UsageError."""
    import msgspec

    from preflight_ocr.harness.config.config import load_config
    from preflight_ocr.harness.config.errors import ConfigError

    path, command = config.getoption("preflight_config"), config.getoption("preflight_command")
    if path and command:
        raise pytest.UsageError("--preflight-config and --preflight-command were both given; give one of them")
    if command:
        if not config.getoption("preflight_trust"):
            raise pytest.UsageError("--preflight-command runs your code: read it, then give --preflight-trust")
        return None
    try:
        loaded = load_config(Path(path))
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None
    if config.getoption("preflight_trust"):
        loaded = msgspec.structs.replace(loaded, model=msgspec.structs.replace(loaded.model, trust_remote_code=True))
    return loaded


def _gather(config: pytest.Config, *, chosen: tuple[Diagnosis, ...]) -> Facts:
    """Run the probes that the chosen diagnoses need; all of them where none is given.

    Raises pytest.UsageError for a configuration or a command that cannot be used.
    """
    loaded = _load(config)
    if loaded is None:
        return _gather_command(config)
    from preflight_ocr.harness.check.asked import Asked
    from preflight_ocr.harness.check.check import look
    from preflight_ocr.harness.config.errors import ConfigError

    asked = config.getoption("markexpr", "") or ""
    wants_gpu = "gpu" in asked and "not gpu" not in asked
    try:
        wishes = Asked(
            level=config.getoption("preflight_level") or ("gpu" if wants_gpu else "ran"),
            trust=loaded.model.trust_remote_code,
            only=tuple(diagnosis.code for diagnosis in chosen),
            keeps=True,
            reuses=not config.getoption("preflight_fresh"),
        )
        facts = look(loaded, wishes, progress=_show_progress(config)).facts
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None
    return facts


def _gather_command(config: pytest.Config) -> Facts:
    import shlex

    from preflight_ocr.harness.check.command import check_command
    from preflight_ocr.harness.config.errors import UserError

    words = shlex.split(config.getoption("preflight_command"))
    try:
        return check_command(words, progress=_show_progress(config)).report.facts
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def _show_progress(config: pytest.Config) -> Any:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or config.get_verbosity() < 0:
        return lambda text: None
    return lambda text: reporter.write_line(f"preflight: {text}")
