"""Runs the benchmarks and prints what they found."""

import argparse
import asyncio
import time

import aiohttp

from tests.bench import dispatching, ending, importing, listening, pages, rebuild, reporting, scheduling, sealing
from tests.bench.message_life import OURS, Bench, Result, quantile
from tests.bench.stack import Running, running
from tests.bench.yardstick import bare_requests_per_s

SETTLE_S = 30  # the JVM compiles for a while after its start
IDLE_S = 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--latency-s", type=float, default=15)
    parser.add_argument("--due", type=int, default=1_000_000, help="messages due at one instant, and held at an END")
    parser.add_argument("--held", type=int, default=10_000_000, help="messages held while a tick is timed")
    parser.add_argument("--rebuilt", type=int, default=200_000, help="recipients whose lives are folded once more")
    parser.add_argument("--reported", type=int, default=1_000_000, help="recipients of one report")
    parser.add_argument("--listeners", type=int, default=1000, help="of one campaign's stream")
    parser.add_argument("--listed", type=int, default=100_000, help="recipients of the campaign whose pages are timed")
    parser.add_argument("--opted-out", type=int, default=1_000_000, help="opt-outs imported while intents are taken")
    parser.add_argument("--sends-per-s", type=float, default=2000)
    parser.add_argument("--dispatched", type=int, default=20_000, help="messages for a carrier that answers after 5 ms")
    asked = parser.parse_args()
    bare = bare_requests_per_s()
    print(f"yardstick: {bare:,.0f} bare HTTP requests/s (one client, one server that does nothing)")
    with running(SIMULATOR_SENT_CALLBACKS="0") as stack:
        print(f"start: ready in {stack.ready_s:.1f} s")
        _print_idle(stack)
        result = asyncio.run(_message_life(stack, asked.messages, asked.latency_s, bare))
        print(listening.lines(asyncio.run(listening.measure(stack, asked.listeners))))
        print(pages.lines(asyncio.run(pages.measure(stack, asked.listed))))
    print(dispatching.lines(dispatching.measure(asked.dispatched)))
    _print_sealing(asyncio.run(sealing.measure()), sum(result.cpu_us[name] for name in OURS))
    print(rebuild.lines(asyncio.run(rebuild.measure(asked.rebuilt))))
    print(reporting.lines(asyncio.run(reporting.measure(asked.reported))))
    print(importing.lines(asyncio.run(importing.measure(asked.opted_out))))
    print(scheduling.lines(asyncio.run(scheduling.measure(asked.due, asked.held))))
    with running(SIMULATOR_SENT_CALLBACKS="0") as stack:
        print(ending.lines(asyncio.run(_ending(stack, asked.due, asked.sends_per_s))))


def _print_idle(stack: Running) -> None:
    time.sleep(SETTLE_S)
    before = stack.cpu_s()
    time.sleep(IDLE_S)
    after = stack.cpu_s()
    cpu = {name: (after[name] - before[name]) / IDLE_S * 100 for name in before}
    rss = stack.rss_mb()
    print(f"idle: {sum(rss.values()):,.0f} MB, {sum(cpu.values()):.1f} % of one core")
    print("      " + ", ".join(f"{name} {rss[name]:.0f} MB {cpu[name]:.1f} %" for name in sorted(cpu)))


async def _message_life(stack: Running, messages: int, latency_s: float, bare: float) -> Result:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:
        bench = Bench(stack, session)
        await bench.throughput(max(4, messages // 20 // 4 * 4))  # warms caches and plans
        result = await bench.throughput(messages)
        _print_throughput(result, bare)
        rate = result.per_s / 10
        ms = await bench.latency_ms(rate, latency_s)
    print(f"latency at 10 % load ({rate:.0f}/s): SEND to carrier p50 {quantile(ms, 0.5):.0f} ms, "
          f"p99 {quantile(ms, 0.99):.0f} ms")  # fmt: skip
    return result


async def _ending(stack: Running, held: int, per_s: float) -> ending.Result:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:
        return await ending.measure(stack, session, held, per_s)


def _print_sealing(cost: sealing.Cost, message_us: float) -> None:
    steps = ", ".join(f"{name} {us:.0f}" for name, us in cost.steps.items())
    print(f"sealing: {cost.message_us:.0f} µs CPU a message ({steps}), {cost.message_us / message_us:.1%} of its life")
    more_us = (cost.report_sealed_s - cost.report_plain_s) / sealing.PEOPLE * 1e6
    print(f"report: {sealing.PEOPLE / cost.report_sealed_s:,.0f} recipients/s, opening them included; "
          f"{cost.report_sealed_s / cost.report_plain_s:.1f} times as long as if nothing were sealed, "
          f"{more_us:.0f} µs a recipient, {more_us / message_us:.1%} of a message's life")  # fmt: skip


def _print_throughput(result: Result, bare: float) -> None:
    ours = sum(result.cpu_us[name] for name in OURS)
    print(f"throughput: {result.per_s:,.0f} messages/s from SEND to delivered and projected, {result.messages:,} sent "
          f"(1 : {bare / result.per_s:.1f} of the yardstick)")  # fmt: skip
    half, most = quantile(result.lag, 0.5), result.lag[-1]
    print(f"lag of projections meanwhile: p50 {half:,.0f} events, most {most:,.0f} "
          f"({half / result.events_per_s:.2f} s and {most / result.events_per_s:.2f} s of what came)")  # fmt: skip
    print(f"CPU a message: {ours:.0f} µs ours (1 : {ours * bare / 1e6:.1f} of the yardstick's request)")
    for name, us in sorted(result.cpu_us.items(), key=lambda item: -item[1]):
        print(f"  {name:12} {us:6.0f} µs{'' if name in OURS else '  (not ours)'}")


if __name__ == "__main__":
    main()
