/**
 * For speed: evidence/acknowledgement.ts, which remembers what it has found good: in one process of the simulation a whole
 * fleet reads the same words. The same text under the same key is the same acknowledgement.
 */
import type { Acknowledgement } from '../../src/evidence/acknowledgement.ts';
import { verifyAcknowledgement as verify } from '../../src/evidence/acknowledgement.ts';
import type { KeyLookup } from '../../src/evidence/statement.ts';

export { signAcknowledgement, cosignedIn } from '../../src/evidence/acknowledgement.ts';

const good = new Map<string, { readonly said: Acknowledgement; readonly key: string | undefined }>();
const GOOD_MAX = 10_000;

export function verifyAcknowledgement(
  text: string,
  keyOf: KeyLookup,
  before?: Acknowledgement,
): Acknowledgement | undefined {
  const known = good.get(text);
  if (known !== undefined && keyOf(known.said.incarnation)?.x === known.key) return known.said;
  const said = verify(text, keyOf, before);
  if (said === undefined) return undefined;
  if (good.size >= GOOD_MAX) good.clear();
  good.set(text, { said, key: keyOf(said.incarnation)?.x });
  return said;
}
