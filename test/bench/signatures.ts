/** What Ed25519 costs on this machine, now: the part of a revocation that no better program takes away. */
import { signingKeyOf } from '../../src/kernel/key.ts';

const ROUNDS = 2_000;
const BYTES = 300;

/** Milliseconds of CPU time each, so that whoever shares the machine is not counted. */
export function signatureCost(): { readonly signMs: number; readonly verifyMs: number } {
  const key = signingKeyOf(new Uint8Array(32).fill(1));
  // Each is another one: a signature that was found good is not verified again.
  const texts = Array.from({ length: ROUNDS }, (_, i) => String(i).padEnd(BYTES, 'x'));
  const signatures: Uint8Array[] = [];
  const signMs = cpuMsOf(() => signatures.push(...texts.map((text) => key.sign(text))));
  const verifyMs = cpuMsOf(() => {
    for (const [i, text] of texts.entries())
      if (!key.public.verify(text, signatures[i]!)) throw new Error('a signature does not verify');
  });
  return { signMs: signMs / ROUNDS, verifyMs: verifyMs / ROUNDS };
}

function cpuMsOf(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}
