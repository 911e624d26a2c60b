/** The smallest files of edges/system, which have a line or two each. */
import { EventEmitter } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { systemRandom } from '../../../src/edges/system/random.ts';
import { onHangup, waitForStop } from '../../../src/edges/system/signals.ts';
import { systemTimer } from '../../../src/edges/system/timer.ts';

describe('systemRandom', () => {
  it('gives as many bytes as were asked for, and others each time', () => {
    expect(systemRandom.bytes(32)).toHaveLength(32);
    expect(systemRandom.bytes(0)).toHaveLength(0);
    expect(systemRandom.bytes(32)).not.toEqual(systemRandom.bytes(32));
  });
});

describe('systemTimer', () => {
  const { signal } = new AbortController();

  it('sleeps as long as it was asked to', async () => {
    const startedAt = performance.now();
    await systemTimer.sleep(20, signal);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(19);
  });

  it('wakes at once, without rejecting, when it is told to or was already', async () => {
    const abort = new AbortController();
    const sleeping = systemTimer.sleep(60_000, abort.signal);
    abort.abort();
    await sleeping;
    await systemTimer.sleep(60_000, abort.signal);
  });
});

describe('onHangup', () => {
  it('calls at each SIGHUP until it is stopped', () => {
    const source = new EventEmitter();
    let calls = 0;
    const stop = onHangup(() => (calls += 1), source);
    source.emit('SIGHUP');
    source.emit('SIGHUP');
    stop();
    source.emit('SIGHUP');
    expect(calls).toBe(2);
  });
});

describe('waitForStop', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('is over at the first %s', async (signal) => {
    const source = new EventEmitter();
    const stopped = waitForStop(source);
    source.emit(signal, signal);
    expect(await stopped).toBe(signal);
  });

  it('takes a second signal within a second for the same one, and leaves the later ones to end the process', async () => {
    const source = new EventEmitter();
    const seconds: (() => void)[] = [];
    const stopped = waitForStop(source, (then) => seconds.push(then));
    source.emit('SIGTERM', 'SIGTERM');
    expect(await stopped).toBe('SIGTERM');
    expect([source.emit('SIGTERM', 'SIGTERM'), source.emit('SIGINT', 'SIGINT')]).toEqual([true, true]);
    seconds[0]?.();
    // Nobody listens: it ends the process.
    expect(source.eventNames()).toEqual([]);
  });

  it('waits for the signals of the process itself by default', async () => {
    const before = process.listenerCount('SIGTERM');
    const stopped = waitForStop();
    expect(process.listenerCount('SIGTERM')).toBe(before + 1);
    process.emit('SIGTERM', 'SIGTERM');
    expect(await stopped).toBe('SIGTERM');
    await vi.waitFor(() => expect(process.listenerCount('SIGTERM')).toBe(before), 30_000);
  });
});
