/**
 * An exported ledger: the feed's lines as they are, then one line with the signed checkpoint of the last epoch.
 * Written by the control plane, verified offline by anyone with the log's public key.
 */
import * as z from 'zod';
import { parseBase64, toBase64 } from '../kernel/digest.ts';
import { canonicalJson } from '../kernel/json.ts';
import { demand, demandReadable } from './demand.ts';
import { sha1 } from './field.ts';
import type { Keyring } from './keyring.ts';
import type { ExportClosing, ExportFrontier, LedgerFacts } from './ledger-audit.ts';
import { LedgerAudit } from './ledger-audit.ts';
import { HASH_BYTES, frontierLength } from './merkle.ts';

const closing = z.strictObject({
  checkpoint: z.string(),
  cosigned: z.array(z.string()).min(1).optional(),
  frontier: z
    .strictObject({ chain: sha1, hashes: z.array(z.string()), size: z.int().min(1).max(999_999_999_999_999) })
    .optional(),
});

/**
 * The last line of an export, without the newline. Canonical. `frontier` is there exactly when the first line is not
 * the first of its epoch; `cosigned` are notes (cosignature.ts).
 */
export function renderCheckpointLine(
  checkpoint: string,
  frontier?: ExportFrontier,
  cosigned: readonly string[] = [],
): string {
  const said = cosigned.length === 0 ? { checkpoint } : { checkpoint, cosigned };
  if (frontier === undefined) return canonicalJson(said);
  const { chain, hashes, size } = frontier;
  return canonicalJson({ ...said, frontier: { chain, hashes: hashes.map(toBase64), size } });
}

/** Entry lines begin with `chain`. */
const CHECKPOINT_LINE = '{"checkpoint":';

function parseCheckpointLine(text: string): ExportClosing {
  const value = demandReadable((): unknown => JSON.parse(text), 'checkpoint line is not JSON');
  const { success, data } = closing.safeParse(value);
  demand(success, 'checkpoint line is of no known shape');
  const canonical = demandReadable(() => canonicalJson(data), 'checkpoint line is not canonical');
  demand(canonical === text, 'checkpoint line is not canonical');
  const { checkpoint, cosigned = [], frontier } = data;
  if (frontier === undefined) return { checkpoint, cosigned, frontier };
  const hashes = frontier.hashes.map(parseHash);
  demand(hashes.length === frontierLength(frontier.size), 'frontier does not fit its size');
  return { checkpoint, cosigned, frontier: { ...frontier, hashes } };
}

function parseHash(base64: string): Uint8Array {
  const hash = parseBase64(base64);
  demand(hash?.length === HASH_BYTES, 'frontier holds what is no hash');
  return hash;
}

/**
 * Verifies an export, line by line (text.ts makes lines of bytes), in memory that does not grow with it.
 * PROOF_INVALID names the position of the first thing wrong.
 */
export async function verifyLedger(
  lines: Iterable<string> | AsyncIterable<string>,
  keyring: Keyring,
): Promise<LedgerFacts> {
  const audit = new LedgerAudit(keyring);
  let last: ExportClosing | undefined;
  for await (const line of lines) {
    demand(last === undefined, 'export goes on after its checkpoint');
    if (line.startsWith(CHECKPOINT_LINE)) last = parseCheckpointLine(line);
    else audit.take(line);
  }
  demand(last !== undefined, `${audit.due}: export ends without a checkpoint`);
  return audit.close(last);
}
