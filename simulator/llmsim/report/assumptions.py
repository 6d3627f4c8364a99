"""What a run took as given, each with its source, so that the reader can doubt it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from llmsim.cost.memory import UNLIMITED_BLOCKS
from llmsim.files import catalog
from llmsim.files.machines import machine_of
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.records import ReplicaRecord, RunRecord
from llmsim.report.facts import Fact
from llmsim.report.fleet_assumptions import fleet_assumptions
from llmsim.report.format import dollars, figures
from llmsim.sim.run import simulate
from llmsim.spec.hardware import Cited
from llmsim.spec.model import ModelShape
from llmsim.spec.scenario import Scenario
from llmsim.spec.serving import Pool
from llmsim.units import format_bytes, format_si

_MOMENT_S = 1e-9
"""Time enough for a fleet to be there, and for nothing to happen."""


def assumptions(record: RunRecord, loaded: LoadedScenario) -> list[Fact]:
    """What the run took as given, each with its source."""
    facts = [*_models(loaded), _workload(record, loaded.scenario)]
    pools = _pools(record, loaded.scenario)
    for replica, num_replicas in pools:
        prefix = f"{replica.pool}: " if len(pools) > 1 else ""
        facts += [
            fact._replace(label=prefix + fact.label) for fact in _pool_facts(replica, num_replicas, loaded)
        ]
    return facts + fleet_assumptions(record, loaded.scenario.fleet)


def base_assumptions(loaded: LoadedScenario) -> list[Fact]:
    """What every run of a scenario takes as given, for a report about many: what its fleet is at the start.

    Runs of other settings do not lose their report where this scenario cannot be run: then that is all it says.
    """
    try:
        return assumptions(first_moment(loaded), loaded)
    except Exception as error:
        return [Fact("Scenario", f"cannot be run: {' '.join(str(error).split())}")]


def first_moment(loaded: LoadedScenario) -> RunRecord:
    """The fleet as it is built, and nothing else. Raises UserError where it cannot be built."""
    moment = loaded.scenario.simulation.model_copy(update={"max_duration_s": _MOMENT_S})
    scenario = loaded.scenario.model_copy(update={"simulation": moment})
    return simulate(replace(loaded, scenario=scenario))


def _models(loaded: LoadedScenario) -> list[Fact]:
    """Each model that is served, and where there are several, by which pools."""
    pools: dict[str, list[Pool]] = {}
    for pool in loaded.scenario.fleet:
        pools.setdefault(loaded.scenario.model_of(pool).ref, []).append(pool)
    facts = {
        ", ".join(pool.name for pool in mine): _model(loaded.model_of(mine[0])) for mine in pools.values()
    }
    if len(facts) == 1:
        return list(facts.values())
    return [fact._replace(label=f"{names}: {fact.label}") for names, fact in facts.items()]


def _model(shape: ModelShape) -> Fact:
    parameters = shape.parameters()
    size = f"{parameters / 1e9:,.2f} billion" if parameters >= 1e8 else f"{parameters:,}"
    return Fact("Model", f"{shape.name}, {size} parameters, {shape.dtype}", shape.source)


def _workload(record: RunRecord, scenario: Scenario) -> Fact:
    """How requests arrive and how long they are, as asked for and as offered."""
    offered = len(record.requests)
    said = [record.workload]
    if offered and record.end_s > _MOMENT_S:
        input_tokens = sum(request.input_tokens for request in record.requests) / offered
        output_tokens = sum(request.output_tokens for request in record.requests) / offered
        said.append(f"on average {figures(input_tokens)} in, {figures(output_tokens)} out")
    return Fact("Workload", "; ".join([*said, f"seed {scenario.simulation.seed}"]))


def _pools(record: RunRecord, scenario: Scenario) -> list[tuple[ReplicaRecord, int]]:
    """The first replica of each pool, and how many there are; of one that changes, how many are wanted."""
    counts = Counter(replica.pool for replica in record.replicas)
    for pool in scenario.fleet:
        if not pool.is_fixed:
            counts[pool.name] = pool.replicas * pool.data_parallel_size
    firsts: dict[str, ReplicaRecord] = {}
    for replica in record.replicas:
        firsts.setdefault(replica.pool, replica)
    return [(replica, counts[pool]) for pool, replica in firsts.items()]


def _pool_facts(replica: ReplicaRecord, num_replicas: int, loaded: LoadedScenario) -> list[Fact]:
    pool = next(pool for pool in loaded.scenario.fleet if pool.name == replica.pool)
    engine = loaded.scenario.engine_of(pool)
    policy = f"{engine.scheduler.kind}, at most {engine.max_num_seqs:,} sequences"
    budget = f"{engine.max_num_batched_tokens:,} new tokens an iteration"
    return [
        Fact("Fleet", f"{num_replicas} × ({_devices(replica)}, {replica.plan})"),
        *_placement(replica, pool),
        _accelerator(replica),
        Fact("Engine", f"{policy} and {budget}", replica.engine),
        Fact("KV pool", f"{engine.kv_cache.kind}, {_blocks(replica)}", replica.kv_arithmetic),
        *(Fact("KV tier", words, source) for words, source in replica.kv_tier_sources),
        _cost_model(replica, pool),
        _price(replica, pool),
    ]


def _devices(replica: ReplicaRecord) -> str:
    return " + ".join(f"{number} × {name}" for name, number in replica.accelerators.items())


def _placement(replica: ReplicaRecord, pool: Pool) -> list[Fact]:
    """How a searched plan was chosen, what data-parallel ranks assume, and the network where plans need one."""
    facts = []
    if replica.plan_choice:
        facts.append(Fact("Plan", replica.plan_choice, "tried: " + "; ".join(replica.plans_tried)))
    if pool.data_parallel_size > 1:
        facts.append(
            Fact("Expert load", "each data-parallel rank is priced as if all had its batch; even routing")
        )
    machine = machine_of(catalog.accelerator(replica.accelerator), pool.node)
    if replica.num_accelerators * pool.data_parallel_size > machine.num_devices or len(replica.devices) > 1:
        network = f"{format_si(machine.network_bytes_per_s, 'B/s')} out of each node of {machine.num_devices}"
        source = f"assumed: {machine.assumed}" if machine.assumed else f"node {machine.name}"
        facts.append(Fact("Network", network, source))
    return facts


def _blocks(replica: ReplicaRecord) -> str:
    if replica.num_kv_blocks >= UNLIMITED_BLOCKS:
        return "no limit: the model keeps a state of fixed size"
    if replica.kv_layout:
        return replica.kv_layout
    tokens = replica.num_kv_blocks * replica.block_size
    return f"{replica.num_kv_blocks:,} blocks × {replica.block_size:,} = {tokens:,} tokens a replica"


def _cost_model(replica: ReplicaRecord, pool: Pool) -> Fact:
    """A cost model without a provenance of its own has its constants from the scenario."""
    known = dict.fromkeys(getattr(stage, "provenance", "") for stage in replica.stages)
    return Fact(
        "Cost model",
        pool.cost_model.kind,
        "; ".join(text for text in known if text) or "as the scenario sets it",
    )


def _accelerator(replica: ReplicaRecord) -> Fact:
    device = catalog.accelerator(replica.accelerator)
    memory = f"{format_bytes(device.memory_bytes)} at {format_si(device.memory_bytes_per_s, 'B/s')}"
    peak = device.peaks.get("bf16")
    compute = f", {format_si(peak, 'FLOP/s')} dense bf16" if peak else ""
    return Fact("Accelerator", f"{memory}{compute}", _citation(device, "memory_bytes_per_s"))


def _citation(device: Cited, field: str) -> str:
    cited = device.sources().get(field)
    return "" if cited is None else cited.citation + (" (unverified)" if cited.unverified else "")


def _price(replica: ReplicaRecord, pool: Pool) -> Fact:
    if replica.usd_per_hour is None:
        return Fact("Price", "unknown", "give the pool usd_per_hour to have costs")
    source = "the pool's usd_per_hour"
    if pool.usd_per_hour is None and pool.instance is not None:
        source = _citation(catalog.instance(pool.instance), "usd_per_hour")
    elif pool.usd_per_hour is None:
        source = _citation(catalog.accelerator(replica.accelerator), "usd_per_hour")
    each = replica.usd_per_hour / replica.num_accelerators
    return Fact("Price", f"{dollars(each)} an hour for each accelerator", source)
