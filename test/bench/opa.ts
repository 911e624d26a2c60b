/**
 * The real OPA server doing the same work: the token verified in Rego, a million revoked ids in its data, the default
 * policy's scope and role. Twice: as it comes, and with its cache of verified tokens, which is off by default.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { call } from '../support/client.ts';
import { freePort } from '../support/free-port.ts';
import { peerPath } from '../support/peers.ts';
import { eventually } from '../support/scene.ts';
import type { Contender } from './contender.ts';
import { stopChild } from './contender.ts';
import { evaluationOf } from './workload.ts';

export interface OpaSettings {
  readonly name: string;
  readonly dir: string;
  readonly jwks: unknown;
  readonly issuer: string;
  readonly audience: string;
  readonly revoked: readonly string[];
  /** Settings of OPA's own, `key=value`. */
  readonly set: readonly string[];
}

/** `io.jwt` results by token and key: "By default, this cache is disabled" (OPA, configuration). */
export const OPA_TOKEN_CACHE = ['caching.inter_query_builtin_value_cache.named.io_jwt.max_num_entries=10000'];

const REGO = `package bench

default decision := {"allow": false, "reason": "default"}

decision := {"allow": false, "reason": "invalid_credential"} if {
	not claims
} else := {"allow": false, "reason": "revoked"} if {
	data.revoked[claims.jti]
} else := {"allow": false, "reason": "subject_mismatch"} if {
	claims.sub != input.subject.id
} else := {"allow": true, "reason": "scope"} if {
	concat(":", [input.resource.type, input.action.name]) in split(claims.scope, " ")
} else := {"allow": true, "reason": "role"} if {
	some role in data.bindings[input.subject.id]
	some permission in data.roles[role]
	permission.action == input.action.name
	permission.resource_type == input.resource.type
}

claims := payload if {
	[is_valid, _, payload] := io.jwt.decode_verify(input.context.credential.token, {
		"cert": data.settings.jwks,
		"iss": data.settings.issuer,
		"aud": data.settings.audience,
		"alg": "ES256",
	})
	is_valid
}
`;

const ROLES = { 'invoice-reader': [{ action: 'read', resource_type: 'invoice' }] };

export async function startOpa(settings: OpaSettings): Promise<Contender> {
  const { name, dir, set } = settings;
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'bench.rego'), REGO);
  await writeFile(join(dir, 'data.json'), JSON.stringify(dataOf(settings)));
  // OPA takes no port 0 and says of none: one that was free a moment ago.
  const port = await freePort();
  const options = ['--addr', `127.0.0.1:${port}`, '--log-level', 'error', '--skip-version-check'];
  const sets = set.flatMap((one) => ['--set', one]);
  const args = ['run', '--server', ...options, ...sets, join(dir, 'bench.rego'), join(dir, 'data.json')];
  const child = spawn(peerPath('opa'), args, { stdio: ['ignore', 'inherit', 'inherit'], cwd: dir });
  await untilUp(name, `http://127.0.0.1:${port}/health`, once(child, 'exit'));
  return {
    name,
    pid: child.pid ?? 0,
    url: `http://127.0.0.1:${port}/v1/data/bench/decision`,
    bodyOf: (token) => JSON.stringify({ input: evaluationOf(token) }),
    allow: '"allow":true',
    decides: true,
    stop: () => stopChild(child),
  };
}

function dataOf({ jwks, issuer, audience, revoked }: OpaSettings): unknown {
  return {
    settings: { jwks: JSON.stringify(jwks), issuer, audience },
    revoked: Object.fromEntries(revoked.map((id) => [id, true])),
    roles: ROLES,
    bindings: {},
  };
}

async function untilUp(name: string, url: string, exited: Promise<unknown>): Promise<void> {
  let hasEnded = false;
  void exited.then(() => (hasEnded = true));
  const ask = async (): Promise<number> => (await call(url).catch(() => undefined))?.status ?? 0;
  const status = await eventually(ask, (answer) => answer === 200 || hasEnded, 60_000);
  if (status !== 200) throw new Error(`${name} did not come up`);
}
