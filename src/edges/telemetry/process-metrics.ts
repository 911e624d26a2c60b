/** The process under the names that Prometheus clients agree on, and how late its event loop was. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Metric } from './metric.ts';
import { counter, gauge } from './metric.ts';

const RESOLUTION_MS = 10;

export function processMetrics(): Metric[] {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const startedS = Date.now() / 1000 - process.uptime();
  return [
    counter('process_cpu_seconds_total', 'User and system CPU time.', () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
    gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss()),
    gauge('process_start_time_seconds', 'When the process started, in seconds since 1970.', () => startedS),
    gauge(
      'writ_event_loop_delay_max_seconds',
      'The longest delay of the event loop since the scrape before this one.',
      () => worstSince(delay),
    ),
  ];
}

/** The monitor measures the whole interval between two samples: what it should be is taken off. */
function worstSince(delay: ReturnType<typeof monitorEventLoopDelay>): number {
  const worstMs = delay.max / 1e6 - RESOLUTION_MS;
  delay.reset();
  return Math.max(0, worstMs) / 1000;
}
