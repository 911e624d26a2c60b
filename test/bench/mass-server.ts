/**
 * A whole Writ in a process of its own with a ticker on its loop: mass.ts starts it and asks over IPC how long the loop
 * was held since it asked last. Two clocks: what passed, and what this thread worked; on a machine that others use too
 * only the second one is this process's own doing, and its steps are coarse: on Linux up to a tick of the kernel, 4 ms.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compose } from '../../src/compose.ts';
import { requireConfig } from '../../src/config/config.ts';
import { openLog } from '../../src/edges/telemetry/log.ts';

export interface LoopFigures {
  readonly turns: number;
  /** Held beyond the tick, by the wall clock. */
  readonly worstMs: number;
  readonly p999Ms: number;
  /** Worked by this thread between two ticks. */
  readonly worstCpuMs: number;
  readonly p999CpuMs: number;
  readonly cpuMs: number;
  readonly rssBytes: number;
}

const TICK_MS = 1;

class Ticker {
  #wall: number[] = [];
  #cpu: number[] = [];
  #atMs = performance.now();
  #cpuMs = threadCpuMs();
  #beganCpuMs = this.#cpuMs;

  start(): void {
    setTimeout(() => this.#tick(), TICK_MS);
  }

  figures(): LoopFigures {
    const wall = this.#wall.toSorted((a, b) => a - b);
    const cpu = this.#cpu.toSorted((a, b) => a - b);
    const cpuMs = this.#cpuMs - this.#beganCpuMs;
    this.#wall = [];
    this.#cpu = [];
    global.gc?.();
    this.#atMs = performance.now();
    this.#cpuMs = threadCpuMs();
    this.#beganCpuMs = this.#cpuMs;
    return {
      turns: wall.length,
      worstMs: wall.at(-1) ?? 0,
      p999Ms: at(wall, 0.999),
      worstCpuMs: cpu.at(-1) ?? 0,
      p999CpuMs: at(cpu, 0.999),
      cpuMs,
      rssBytes: process.memoryUsage.rss(),
    };
  }

  #tick(): void {
    const nowMs = performance.now();
    const cpuMs = threadCpuMs();
    this.#wall.push(Math.max(0, nowMs - this.#atMs - TICK_MS));
    this.#cpu.push(cpuMs - this.#cpuMs);
    this.#atMs = nowMs;
    this.#cpuMs = cpuMs;
    this.start();
  }
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

const [dataDir = ''] = process.argv.slice(2);
const { log } = openLog({ sink: (_chunk, done) => done() });
const ports = ['data', 'control', 'diagnostics'].map((name) => `listen.${name}=127.0.0.1:0`);
const sets = [...ports, `dataDir=${dataDir}`];
const config = requireConfig({
  fileText: undefined,
  env: {},
  sets,
  dev: true,
  cwd: dataDir,
  replicaDefault: 'gw-1',
});
const writ = await compose({ config, log });
const ticker = new Ticker();
ticker.start();
process.on('message', () => process.send?.(ticker.figures()));
process.on('disconnect', () => process.exit(0));
const adminToken = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim();
process.send?.({ urls: writ.urls, adminToken });
