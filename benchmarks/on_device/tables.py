"""A run in words, 80 columns wide, and in Markdown tables."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.limits import RATES, TYPES
from benchmarks.on_device.records import Record
from benchmarks.report import number, table, times

MARKS = ("<!-- on device -->", "<!-- end of on device -->")

_COLUMNS = 80


def label(record: Record) -> str:
    """What tells a record from the others of its part."""
    names = ("problem", "workload", "n", "d", "K", "covariance", "dtype", "starts", "datasets", "chains")
    bare = ("problem", "workload", "covariance", "dtype")
    words = [str(record[name]) if name in bare else f"{name}={record[name]}" for name in names if name in record]
    return " ".join([record["part"], *words])


def line(record: Record) -> str:
    """A record in one line, as it is told while the run goes on."""
    for kind in ("error", "skipped"):
        if kind in record:
            return f"{label(record)}: {kind}: {record[kind]}"
    told = []
    if "agrees" in record:
        told.append(f"{'agrees' if record['agrees'] else 'DISAGREES'} ({_difference(record)})")
    for name, unit in (
        ("ms_per_iteration", "ms an iteration"),
        ("ms_per_dataset", "ms a data set"),
        ("transitions_per_second", "transitions/s"),
    ):
        if name in record:
            told.append(f"{number(record[name])} {unit}")
    told += [record["host_error"]] if "host_error" in record else []
    return ": ".join([label(record), *([", ".join(told)] if told else [])])


def summary(records: Sequence[Record], where: str) -> str:
    """What a reader should know first, in plain words."""
    machine = records[0]
    lines = [f"Device: {machine.get('device', machine.get('error', ''))}. {len(records)} records in {where}."]
    lines += [_agreement_in_words(records)]
    for record in records:
        if record.get("agrees") is False:
            lines.append(f"DISAGREES: {label(record)}: {record.get('error') or _difference(record)}.")
    lines += [record["words"] for record in records if "words" in record]
    failed = [r for r in records if ("error" in r and "agrees" not in r) or "host_error" in r]
    lines += [f"Failed: {line(record)}." for record in failed]
    skipped = [record for record in records if "skipped" in record]
    if skipped:
        names = ", ".join(f"{sum(r['part'] == part for r in skipped)} of {part}" for part in _parts(skipped))
        lines.append(f"Left out, for want of time or memory: {names}.")
    if machine.get("quick"):
        lines.append("A quick run on tiny problems: that all of it works, and nothing about speed.")
    return "\n".join(textwrap.fill(text, _COLUMNS, subsequent_indent="  ") for text in lines)


def _parts(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(record["part"] for record in records))


def _agreement_in_words(records: Sequence[Record]) -> str:
    judged = [record for record in records if "agrees" in record]
    agree = [record for record in judged if record["agrees"]]
    largest = []
    for dtype in TYPES:
        found = [r["difference"] for r in judged if r.get("dtype") == dtype and r.get("difference") is not None]
        if found:
            largest.append(f"{max(found):.0e} in {dtype}")
    differences = f"; log-likelihoods per row differ by at most {', '.join(largest)}" if largest else ""
    return f"Results: {len(agree)} of {len(judged)} agree with the host's{differences}."


def _difference(record: Record) -> str:
    if "error" in record:
        return "no result"
    if record.get("status") != record.get("host_status"):
        return f"status {record['status']}, the host's {record['host_status']}"
    words = f"log-likelihood per row off by {_small(record['difference'])}, allowed {record['tolerance']:.0e}"
    if "parameter_difference" in record:
        words += f"; parameters {_small(record['parameter_difference'])}, {record['parameter_tolerance']:.0e}"
    return words


def _small(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.0e}"


def as_markdown(records: Sequence[Record]) -> str:
    """All tables of one run."""
    makers: dict[str, Callable[[list[Record]], str]] = {
        "agreement": _agreement,
        "limits": _limits,
        "size": _sizes,
        "workload": _workloads,
        "starts": _starts,
        "many": _many,
        "hmc": _hmc,
        "profile": _profile,
    }
    parts = [_head(records)]
    for part, make in makers.items():
        rows = [record for record in records if record["part"] == part]
        whole = [record for record in rows if "error" not in record and "skipped" not in record]
        reasons = [f"- {line(record)}" for record in rows if record not in whole or "host_error" in record]
        parts += [make(whole)] if whole else []
        parts += ["\n".join(reasons)] if reasons else []
    return "\n\n".join(parts) + "\n"


def _head(records: Sequence[Record]) -> str:
    machine = records[0]
    memory = machine.get("memory_bytes")
    versions = [
        f"Python {machine.get('python', '')}",
        *(" ".join(each) for each in machine.get("versions", {}).items()),
    ]
    lines = [
        f"### {machine.get('device', 'no device')}\n",
        f"- date: {machine.get('date', '')}",
        f"- device: {machine.get('n_devices', 0)} of platform {machine.get('platform', '')}"
        + (f", {number(memory / 1e9)} GB for JAX" if memory else ""),
        f"- host: {machine.get('host', '')}",
        f"- versions: {', '.join(versions)}, emjax {machine.get('emjax', '')} ({machine.get('commit', '')})",
    ]
    end = next((record for record in records if record["part"] == "end"), None)
    lines.append(f"- the whole run took {end['seconds'] / 60:.1f} minutes" if end else "- the run was cut short")
    if machine.get("quick"):
        lines.insert(1, "**A quick run on tiny problems: it shows that everything works, and nothing about speed.**\n")
    lines.append(f"- {_agreement_in_words(records)}")
    return "\n".join(lines)


def _agreement(rows: list[Record]) -> str:
    header = ("problem", "type", "agrees", "status", "iterations", "host's", "ΔlogL/n", "Δ parameters")
    body = [
        (
            row["problem"],
            row["dtype"],
            "yes" if row["agrees"] else "**no**",
            row["status"] if row["status"] == row["host_status"] else f"{row['status']} ({row['host_status']})",
            str(row["n_iter"]),
            str(row["host_n_iter"]),
            _small(row["difference"]),
            _small(row["parameter_difference"]),
        )
        for row in rows
    ]
    return "#### Results against the host's\n\n" + table(header, body)


def _limits(rows: list[Record]) -> str:
    rates = rows[-1]["rates"]
    scale = {"gemm": (1e9, "GFLOP/s"), "exp": (1e9, "G exp/s"), "read": (1e9, "GB/s")}
    every = [f"{by} {dtype}" for by in ("NumPy", "XLA") for dtype in TYPES]
    columns = [name for name in every if f"gemm {name}" in rates]
    body = [
        (
            f"{text.partition(', ')[2]}, {scale[unit][1]}",
            *(_scaled(rates, f"{unit} {name}", scale[unit][0]) for name in columns),
        )
        for unit, text in RATES.items()
    ]
    sent = number(rates.get("send", float("nan")) / 1e9)
    return "\n\n".join(
        ["#### Limits of the device", table(("", *columns), body), f"From the host to the device: {sent} GB/s."]
    )


def _scaled(rates: dict[str, float], name: str, scale: float) -> str:
    return number(rates[name] / scale) if rates.get(name) else "–"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _verdict(row: Record) -> str:
    return _small(row["difference"]) + ("" if row["agrees"] else " **disagrees**")


def _sizes(rows: list[Record]) -> str:
    header = (
        "rows, 16 features, K = 64",
        "type",
        "ms, one more",
        "fraction of the limit",
        "compile, s",
        "data to the device, s",
        "of that sending, s",
        "after, s",
        "peak on the device",
        "ΔlogL/n",
    )
    body = []
    for row in rows:
        peak = row["peak_bytes"]
        at_most = "" if row["peak_is_its_own"] else "≤ "
        body.append(
            (
                f"{row['n']:,} {row['covariance']}",
                row["dtype"],
                number(row["ms_per_iteration"]),
                _share(row["fraction"]),
                number(row["compile_seconds"]),
                number(row["before_seconds"]),
                number(row["transfer_seconds"]),
                number(row["after_seconds"]),
                "–" if peak is None else f"{at_most}{number(peak / 1e9, unit=' GB')}",
                _verdict(row),
            )
        )
    return "#### Rows\n\n" + table(header, body)


def _ratio(over: float | None, under: float | None) -> str:
    return times(over / under if over and under else None)


def _against_host(rows: list[Record], first: str, describe: Callable[[Record], str]) -> str:
    header = (first, "type", "ms, one iteration", "host's", "host over device", "compile, s", "ΔlogL/n")
    body = [
        (
            describe(row),
            row["dtype"],
            number(row["ms_per_iteration"]),
            number(row.get("host_ms_per_iteration")),
            _ratio(row.get("host_ms_per_iteration"), row["ms_per_iteration"]),
            number(row["compile_seconds"]),
            _verdict(row) if "agrees" in row else "–",
        )
        for row in rows
    ]
    return table(header, body)


def _workloads(rows: list[Record]) -> str:
    body = _against_host(rows, "workload", lambda row: row["workload"])
    return f"#### The benchmark's workloads beside the host\n\n{body}"


def _starts(rows: list[Record]) -> str:
    body = _against_host(rows, "starts at once", lambda row: f"{row['workload']}, {row['starts']:,} starts")
    return f"#### Many starts (one iteration of all)\n\n{body}"


def _many(rows: list[Record]) -> str:
    header = ("data sets at once", "ms, one", "host's", "host over device", "other results")
    body = [
        (
            f"{row['datasets']:,}",
            number(row["ms_per_dataset"]),
            number(row.get("host_ms_per_dataset")),
            _ratio(row.get("host_ms_per_dataset"), row["ms_per_dataset"]),
            str(row.get("differing", "–")),
        )
        for row in rows
    ]
    return "#### Many data sets (n = 500, d = 1, K = 2, 5 starts)\n\n" + table(header, body)


def _hmc(rows: list[Record]) -> str:
    header = ("chains", "transitions/s", "host's", "device over host", "gradients/s", "compile, s")
    body = [
        (
            f"{row['chains']:,}",
            number(row["transitions_per_second"]),
            number(row.get("host_transitions_per_second")),
            _ratio(row["transitions_per_second"], row.get("host_transitions_per_second")),
            number(row["gradients_per_second"]),
            number(row["compile_seconds"]),
        )
        for row in rows
    ]
    return "#### Chains of Hamiltonian Monte Carlo (n = 2,000, d = 2, K = 2)\n\n" + table(header, body)


def _profile(rows: list[Record]) -> str:
    return "#### What binds the slowest row\n\n" + textwrap.fill(rows[-1]["words"], 120)


def disagrees(records: Iterable[Any]) -> bool:
    """Whether any result is another than the host's."""
    return any(record.get("agrees") is False for record in records)
