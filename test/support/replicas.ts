/**
 * The replicas of one test file, stopped after each of its tests whatever became of it, and time that goes by in small
 * steps, as it does.
 */
import { afterEach } from 'vitest';
import { FakeClock, settle } from './fake-time.ts';
import type { TestReplicaOptions } from './replica-harness.ts';
import { TestReplica } from './replica-harness.ts';

const running: TestReplica[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((replica) => replica.stop()));
});

/** With a clock of its own unless `options` brings one; not started. */
export function makeReplica(options: Partial<TestReplicaOptions> = {}): TestReplica {
  const replica = new TestReplica({ clock: new FakeClock(), ...options });
  running.push(replica);
  return replica;
}

export function startReplica(options: Partial<TestReplicaOptions> = {}): Promise<TestReplica> {
  return makeReplica(options).start();
}

/** Started, and whatever its start set going has come to rest. */
export async function startSettled(options: Partial<TestReplicaOptions> = {}): Promise<TestReplica> {
  const replica = await startReplica(options);
  await settle();
  return replica;
}

export async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100);
    await settle();
  }
}

/** The test stops this one by itself. */
export function forget(replica: TestReplica): void {
  running.splice(running.indexOf(replica), 1);
}
