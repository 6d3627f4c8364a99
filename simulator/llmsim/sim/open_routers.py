"""One router for each model of the fleet, checked against what the requests bring and ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmsim import plugins
from llmsim.errors import Problem, ScenarioError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.registry import nearest
from llmsim.sim.clock import Clock
from llmsim.sim.options import options_of
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import LACKING, Router, Setting
from llmsim.workload.stream import Stream


def open_routers(
    loaded: LoadedScenario, replicas: Sequence[Replica], stream: Stream, clock: Clock
) -> dict[str, Router]:
    """Every name that requests may give a model to the router of its replicas; "" is the scenario's model.

    Raises:
        ScenarioError: The router goes by something the requests lack, or they ask for a model nobody serves.
    """
    scenario = loaded.scenario
    router_class = plugins.ROUTERS.get(scenario.router.kind)
    options = options_of(router_class, scenario.router)
    routers: dict[str, Router] = {}
    for pool in scenario.fleet:
        ref = scenario.model_of(pool).ref
        if ref not in routers:
            name = "" if ref == scenario.model.ref else ref
            mine = [replica for replica in replicas if replica.model == ref and replica.role != "decode"]
            routers[ref] = router_class(mine, options, Setting(clock, scenario.simulation.seed, name))
    for ref in list(routers):
        for alias in loaded.names_of(ref):
            routers.setdefault(alias, routers[ref])
    if scenario.model.ref in routers:
        routers[""] = routers[scenario.model.ref]
    problems = list(_problems(loaded, stream, routers))
    if problems:
        raise ScenarioError(problems)
    return routers


def open_decode_routers(
    loaded: LoadedScenario, replicas: Sequence[Replica], clock: Clock
) -> dict[str, Router]:
    """The router of each model's decode replicas, by every name that requests or replicas may give it."""
    scenario = loaded.scenario
    router_class = plugins.ROUTERS.get(scenario.disaggregation.router.kind)
    options = options_of(router_class, scenario.disaggregation.router)
    routers: dict[str, Router] = {}
    for ref in dict.fromkeys(scenario.model_of(pool).ref for pool in scenario.fleet if pool.role == "decode"):
        mine = [replica for replica in replicas if replica.model == ref and replica.role == "decode"]
        setting = Setting(clock, scenario.simulation.seed, f"decode.{ref}")
        router = router_class(mine, options, setting)
        routers |= dict.fromkeys([ref, *loaded.names_of(ref)] + [""] * (ref == scenario.model.ref), router)
    return routers


def _problems(loaded: LoadedScenario, stream: Stream, routers: dict[str, Router]) -> Iterator[Problem]:
    scenario = loaded.scenario
    needs = next(iter(routers.values())).needs
    if needs and needs not in stream.labels:
        yield Problem("router", LACKING[needs].format(kind=scenario.router.kind))
    workload = scenario.workload
    where = "workload.models" if workload.models else f"workload.{'clients' if workload.clients else 'trace'}"
    for name in sorted(stream.models - routers.keys()):
        if name:
            message = f"requests ask for the model '{name}', which no pool serves"
            yield Problem(where, f"{message}; {nearest(name, routers.keys() - {''})}")
        else:
            yield Problem(
                "model",
                f"no pool serves '{scenario.model.ref}', and requests that name no model ask for it; name one "
                "in `workload.models` or in the trace's column `model`",
            )
