/**
 * The signed word of whoever holds a data directory that everything in it is merged into what a closed store has by now
 * (DESIGN 3.4, rule 2). Made and judged by flows/reopen.ts. Never believed without `readEpochReport`.
 */
import * as z from 'zod';
import type { PublicKey, SigningKey } from '../kernel/key.ts';
import { demand } from './demand.ts';
import { id, position, sha1 } from './field.ts';
import { readStatement, signStatement } from './statement.ts';

const TYP = 'writ-epoch-report+jws';

const report = z.strictObject({
  v: z.literal(1),
  /** `-` where the store knows none. */
  closedEpochId: id,
  runId: z.string().min(1).max(128),
  incarnation: id,
  /** That the position is in; `-` before the first. Numbers of two epochs say nothing about each other. */
  epochId: id,
  position,
  chain: sha1,
});

export type EpochReportStatement = z.infer<typeof report>;

export function signEpochReport(said: EpochReportStatement, key: SigningKey): string {
  return signStatement(TYP, said.incarnation, report.parse(said), key);
}

/** PROOF_INVALID unless the key that `keyOf` names for its incarnation signed it. */
export function readEpochReport(
  text: string,
  keyOf: (incarnation: string) => PublicKey | undefined,
): EpochReportStatement {
  const { kid, payload } = readStatement(text, TYP, keyOf);
  const parsed = report.safeParse(payload);
  demand(parsed.success && parsed.data.incarnation === kid, 'report is of no known shape');
  return parsed.data;
}
