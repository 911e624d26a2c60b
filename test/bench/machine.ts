/** What the kernel says of a process and of this machine (proc(5)); medians and quantiles of what was measured. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';

const TICKS_PER_S = 100;

/** User and system time of a process and all it started, every thread of theirs, in seconds. */
export function cpuSecondsOf(pid: number): number {
  return [pid, ...childrenOf(pid)].reduce((sum, one) => sum + ownCpuSeconds(one), 0);
}

/** Processes that a process started, and those that they did. What ends meanwhile has none. */
export function childrenOf(pid: number): number[] {
  const children = threadsOf(pid).flatMap((thread) => childrenOfThread(pid, thread));
  return children.flatMap((child) => [child, ...childrenOf(child)]);
}

/** False once it is gone, or is a zombie, which writes no more. */
export function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function threadsOf(pid: number): string[] {
  const path = `/proc/${pid}/task`;
  return existsSync(path) ? readdirSync(path) : [];
}

function childrenOfThread(pid: number, thread: string): number[] {
  const path = `/proc/${pid}/task/${thread}/children`;
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return text
    .split(' ')
    .map(Number)
    .filter((child) => child > 0);
}

/** Fields 14 and 15, counted behind the name, which may hold anything. */
function ownCpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

/** Resident memory in MB. */
export function rssMbOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

export interface Machine {
  readonly node: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGb: number;
  /** Of the last minute, before anything was started. */
  readonly loadBefore: number;
}

export function machineNow(): Machine {
  return {
    node: process.version,
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGb: Math.round(totalmem() / 2 ** 30),
    loadBefore: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}

/** The q-quantile of values in ascending order, nearest rank. */
export function quantileOf(sorted: ArrayLike<number>, q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

export function medianOf(values: readonly number[]): number {
  return quantileOf(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}
