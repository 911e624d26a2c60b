/** What `/readyz` says of a replica of the harness. */
import type { TestReplica } from './replica-harness.ts';

export function readinessOf({ replica }: TestReplica, wanted: 'store' | 'epoch'): string | undefined {
  const facts = { policy: '', skewBackMs: 0, issuersWithoutKeys: [], targets: 0, isRecording: undefined };
  return replica.readiness(facts).find(({ name }) => name === wanted)?.detail;
}
