/**
 * The servers of the benchmark, all up at once on this machine with the same tokens and the same ids revoked: the
 * one that answers without looking, Writ with its memo and without, the naive sidecar, OPA as it comes and tuned.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../support/writ-process.ts';
import type { Contender } from './contender.ts';
import { HELLO, startScript } from './contender.ts';
import type { NaiveSettings } from './naive.ts';
import { OPA_TOKEN_CACHE, startOpa } from './opa.ts';
import type { Workload } from './workload.ts';
import { AUDIENCE, ISSUER, jwksOf, kidOf, mintWorkload, revokedId } from './workload.ts';
import type { WritContender } from './writ.ts';
import { revokeBulk, revokeToken, startWritContender } from './writ.ts';

export interface FieldOptions {
  readonly revoked: number;
  readonly dir: string;
}

export interface Field extends AsyncDisposable {
  readonly workload: Workload;
  readonly hello: Contender;
  readonly writ: WritContender;
  readonly unmemoised: WritContender;
  readonly naive: Contender;
  readonly opa: Contender;
  readonly cachingOpa: Contender;
}

/** Policy answers are evaluated, not remembered. */
const WITHOUT_MEMO = ['policy.memo=false'];

/** Starts all of them; what was started is stopped when one does not come up, and when the field is disposed of. */
export async function startField({ revoked, dir }: FieldOptions): Promise<Field> {
  await using started = new AsyncDisposableStack();
  const own = <T extends Contender>(contender: T): T => {
    started.defer(() => contender.stop());
    return contender;
  };
  const hello = own(await startScript(HELLO, 'hello.ts'));
  const writ = own(await startWritContender({ name: 'writ' }));
  const tokensOf = writ.process;
  const unmemoised = own(await startWritContender({ name: 'writ, no memo', tokensOf, set: WITHOUT_MEMO }));
  const workload = await mintWorkload(writ.process);
  await Promise.all([writ, unmemoised].map((one) => revokeAll(one, revoked, workload)));
  const settings = await settingsOf(writ, workload, { revoked, dir });
  const naive = own(await startScript('naive sidecar', 'naive.ts', [settings.naiveFile]));
  const opa = own(await startOpa({ ...settings.opa, name: 'OPA server', dir: join(dir, 'opa'), set: [] }));
  const cachingOpa = own(
    await startOpa({
      ...settings.opa,
      name: 'OPA, token cache on',
      dir: join(dir, 'opa-caching'),
      set: OPA_TOKEN_CACHE,
    }),
  );
  const stack = started.move();
  return {
    ...{ workload, hello, writ, unmemoised, naive, opa, cachingOpa },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export function contendersOf(field: Field): readonly Contender[] {
  const { hello, writ, unmemoised, naive, opa, cachingOpa } = field;
  return [hello, writ, unmemoised, naive, opa, cachingOpa];
}

async function revokeAll({ process }: WritContender, revoked: number, { dead }: Workload): Promise<void> {
  await revokeBulk(process, 0, revoked);
  await revokeToken(process, dead.jti);
}

async function settingsOf(writ: WritContender, { good, dead }: Workload, { revoked, dir }: FieldOptions) {
  const ids = [...Array.from({ length: revoked }, (_, i) => revokedId(i)), dead.jti];
  const jwks = await jwksOf(writ.process.dataDir, kidOf(good[0] ?? ''));
  const shared = { jwks, issuer: ISSUER, audience: AUDIENCE };
  const revokedFile = join(dir, 'revoked.json');
  await writeFile(revokedFile, JSON.stringify(ids));
  const bundle = join(ROOT, 'policies/bundle.tar.gz');
  const naive: NaiveSettings = { ...shared, bundle, revoked: revokedFile };
  const naiveFile = join(dir, 'naive.json');
  await writeFile(naiveFile, JSON.stringify(naive));
  return { naiveFile, opa: { ...shared, revoked: ids } };
}
