import { describe, expect, it } from 'vitest';
import type { Config, ConfigSources } from '../../src/config/config.ts';
import { parseConfig, renderProblems, requireConfig } from '../../src/config/config.ts';
import { KEYS_BY_VARIABLE } from '../../src/config/key.ts';

/** The defaults of the policy's keys, but for the entrypoint. */
const POLICY = {
  watch: true,
  memo: true,
  pollMinMs: 60_000,
  pollMaxMs: 120_000,
  dataBytesMax: 33_554_432,
};

type Given = Partial<ConfigSources>;

function sourcesOf(given: Given): ConfigSources {
  return { env: {}, sets: [], dev: false, cwd: '/srv', replicaDefault: 'host-a1b2', ...given };
}

function configOf(given: Given): Config {
  return requireConfig(sourcesOf(given));
}

function problemsOf(given: Given): string[] {
  const result = parseConfig(sourcesOf(given));
  return result.ok ? [] : renderProblems(result.problems).split('\n');
}

describe('the order of sources', () => {
  it('is default, file, environment, --set, and the last --set of a key wins', () => {
    const fileText = 'fleet: file\nlease: 1s\nclockSkew: 1s';
    const env = { WRIT_FLEET: 'env', WRIT_LEASE: '2s' };
    const sets = ['fleet=set', 'fleet=last'];
    expect(configOf({ fileText, env, sets })).toMatchObject({
      fleet: 'last',
      leaseMs: 2_000,
      clockSkewMs: 1_000,
      barrier: 'acknowledged',
    });
  });

  it('replaces the one member that is named and keeps its siblings', () => {
    const fileText = 'policy: { bundle: a, entrypoint: a/b }';
    expect(configOf({ fileText, env: { WRIT_POLICY_BUNDLE: '/x' } }).policy).toEqual({
      bundle: '/x',
      entrypoint: 'a/b',
      ...POLICY,
    });
    expect(configOf({ fileText, sets: ['policy={ bundle: /y }'] }).policy).toEqual({
      bundle: '/y',
      entrypoint: 'writ/authz/decision',
      ...POLICY,
    });
  });

  it('reads a map before its members, whatever the order of variables', () => {
    const env = { WRIT_POLICY_ENTRYPOINT: 'a/b', WRIT_POLICY: '{ bundle: /x, entrypoint: c/d }' };
    expect(configOf({ env }).policy).toEqual({
      bundle: '/x',
      entrypoint: 'a/b',
      ...POLICY,
    });
  });

  it('turns an address into a listener with TLS when a member of it is named', () => {
    const env = { WRIT_LISTEN_CONTROL_TLS_CERT_FILE: '/c', WRIT_LISTEN_CONTROL_TLS_KEY_FILE: '/k' };
    expect(configOf({ fileText: 'listen: { control: "0.0.0.0:1" }', env }).listen.control).toEqual({
      address: { host: '0.0.0.0', port: 1 },
      tls: { certFile: '/c', keyFile: '/k' },
    });
  });

  it('does not hide what is wrong in the file under a member that is named elsewhere', () => {
    expect(problemsOf({ fileText: 'policy: 5', env: { WRIT_POLICY_BUNDLE: 'x' } })).toEqual([
      expect.stringMatching(/^policy: must be a map with bundle, /),
    ]);
    expect(problemsOf({ fileText: 'store: redis', sets: ['store.kind=journal'] })).toEqual([
      expect.stringMatching(/^store: must be a map with kind/),
    ]);
  });
});

describe('the environment', () => {
  it('names every key that is in no list, each by another variable', () => {
    expect(KEYS_BY_VARIABLE.get('WRIT_CREDENTIAL_LIFE_MAX')?.path).toBe('credentialLifeMax');
    expect(KEYS_BY_VARIABLE.get('WRIT_LISTEN_DATA_TLS_CLIENT_CA_FILE')?.path).toBe(
      'listen.data.tls.clientCaFile',
    );
    expect(new Set([...KEYS_BY_VARIABLE.values()].map(({ path }) => path)).size).toBe(KEYS_BY_VARIABLE.size);
  });

  it('gives text as it is, words for true and false, and lists and maps as YAML or JSON', () => {
    const env = {
      WRIT_FLEET: '007',
      WRIT_BOOTSTRAP: 'true',
      WRIT_STORE_KIND: 'journal',
      WRIT_TRUSTED_PROXIES: '[10.0.0.0/8]',
      WRIT_ISSUERS: '[{"issuer":"a","audiences":["b"],"jwks":{"file":"/k"}}]',
      WRIT_LISTEN_DATA: ' { address: "127.0.0.1:1" }',
      WRIT_DATA_DIR: undefined,
    };
    const config = configOf({ env });
    expect(config).toMatchObject({ fleet: '007', bootstrap: true, trustedProxies: ['10.0.0.0/8'] });
    expect(config.issuers[0]?.jwks).toEqual({ file: '/k' });
    expect(config.listen.data.address).toEqual({ host: '127.0.0.1', port: 1 });
    expect(configOf({ env: { WRIT_BOOTSTRAP: 'false' }, dev: true }).bootstrap).toBe(false);
  });

  it.each([
    [{ WRIT_BOOTSTRAP: 'TRUE' }, 'bootstrap: must be true or false (from WRIT_BOOTSTRAP)'],
    [{ WRIT_FLEET: '' }, 'fleet: must be 1 to 64 of a-z, 0-9 and - (from WRIT_FLEET)'],
    [{ WRIT_ISSUERS: 'a' }, 'issuers: must be a list (from WRIT_ISSUERS)'],
    [{ WRIT_ISSUERS: '[1' }, 'WRIT_ISSUERS: line 1, column 3: must be YAML (MISSING_CHAR)'],
    [
      { WRIT_ISSUERS: '[{ issuer: a }]' },
      'issuers[0].audiences: is missing; it must be a list (from WRIT_ISSUERS)',
      'issuers[0].jwks: is missing; it must be a map (from WRIT_ISSUERS)',
    ],
    [{ WRIT_POLICY: '{ __proto__: { bundle: x } }' }, 'WRIT_POLICY.__proto__: is no key; remove it'],
    [{ WRIT_FLEAT: 'x' }, 'WRIT_FLEAT: names no key; did you mean WRIT_FLEET?'],
    [{ WRIT_SOMETHING_ELSE: 'x' }, 'WRIT_SOMETHING_ELSE: names no key; unset it'],
    [{ WRIT_RELAY_LISTEN: 'x' }, 'WRIT_RELAY_LISTEN: this release has no relay; remove it'],
    [{ WRIT_STORE_URL: 'unix:/x' }, 'store.url: must not be there without kind: redis (from WRIT_STORE_URL)'],
    [{ WRIT_DEV: '1' }, 'WRIT_DEV: is a flag, not a key: start with `writ serve --dev`'],
  ])('refuses %j', (env, ...problems) => {
    expect(problemsOf({ env })).toEqual(problems);
  });

  it('leaves alone what is not ours: other prefixes, the variables of the command line, a Service called writ', () => {
    const env = {
      PATH: '/bin',
      WRITE_ME: '1',
      WRIT_CONFIG: 'a',
      WRIT_OPA: 'a',
      WRIT_URL: 'a',
      WRIT_TOKEN_FILE: 'a',
      WRIT_CA_FILE: 'a',
      WRIT_SERVICE_HOST: '10.0.0.1',
      WRIT_SERVICE_PORT: '8181',
      WRIT_SERVICE_PORT_CONTROL: '8282',
      WRIT_PORT: 'tcp://10.0.0.1:8181',
      WRIT_PORT_8181_TCP: 'tcp://10.0.0.1:8181',
      WRIT_PORT_8181_TCP_PROTO: 'tcp',
      WRIT_PORT_8181_TCP_PORT: '8181',
      WRIT_PORT_8181_TCP_ADDR: '10.0.0.1',
      WRIT_CONTROL_PLANE_SERVICE_HOST: '10.0.0.2',
      WRIT_CONTROL_PLANE_PORT_8282_TCP_ADDR: '10.0.0.2',
    };
    expect(problemsOf({ env })).toEqual([]);
    // If a key's variable looked like a Service's, setting it wrongly could pass unnoticed.
    for (const variable of KEYS_BY_VARIABLE.keys())
      expect(variable).not.toMatch(/_(SERVICE_HOST|SERVICE_PORT|PORT)/);
  });
});

describe('--set', () => {
  it.each([
    ['lease', '--set: must be a key and a value, such as --set store.kind=journal'],
    ['=x', '--set: must be a key and a value, such as --set store.kind=journal'],
    ['leese=1s', 'leese: is no key; did you mean lease?'],
    ['store.url=unix:/x', 'store.url: must not be there without kind: redis (from --set store.url)'],
    ['issuers[0].issuer=x', 'issuers[0].issuer: must be set with the whole list it is in'],
    ['__proto__.x=1', '__proto__.x: is no key; remove it'],
    [
      'lease=1',
      'lease: must be a duration from 500ms to 60s, such as 500ms, 3s, 10m or 24h (from --set lease)',
    ],
  ])('refuses %s', (set, problem) => {
    expect(problemsOf({ sets: [set] })).toEqual([problem]);
  });

  it('takes everything after the first = as the value, line breaks too', () => {
    const url = 'https://a/?b=c';
    const sets = [`issuers=[{ issuer: "${url}",\n audiences: [a], jwks: { url: "${url}" } }]`];
    expect(configOf({ sets }).issuers[0]).toMatchObject({ issuer: url, jwks: { url } });
  });
});

describe('${NAME} in the file', () => {
  it('is replaced inside texts, also in lists, and its value is not looked into again', () => {
    const fileText = `
fleet: \${NAME}-eu
bootstrap: \${YES}
listen: { data: "127.0.0.1:\${PORT}" }
trustedProxies: ["\${RANGE}"]
revocationClaims: \${CLAIMS}
control: { scopes: { admin: "\${WHAT}" } }
dataDir: "/\${ODD}"
`;
    const env = {
      NAME: 'pay',
      YES: 'true',
      PORT: '77',
      RANGE: '10.0.0.0/8',
      CLAIMS: '[a, b]',
      WHAT: 'read',
      ODD: '${NAME}',
    };
    expect(configOf({ fileText, env })).toMatchObject({
      fleet: 'pay-eu',
      bootstrap: true,
      listen: { data: { address: { port: 77 } } },
      trustedProxies: ['10.0.0.0/8'],
      revocationClaims: ['a', 'b'],
      control: { scopes: { admin: 'read' } },
      dataDir: '/${NAME}',
    });
  });

  it('may be a variable with our prefix that names no key', () => {
    expect(configOf({ fileText: 'fleet: ${WRIT_MY_FLEET}', env: { WRIT_MY_FLEET: 'x' } }).fleet).toBe('x');
  });

  it.each([
    ['fleet: ${NOPE}', 'fleet: must have the environment variable NOPE, which is not set'],
    [
      'trustedProxies: ["${NOPE}"]',
      'trustedProxies[0]: must have the environment variable NOPE, which is not set',
    ],
    ['fleet: "${"', 'fleet: must name an environment variable after ${, and end with }'],
    ['fleet: "${A"', 'fleet: must name an environment variable after ${, and end with }'],
    ['fleet: "${}"', 'fleet: must name an environment variable after ${, and end with }'],
    ['fleet: "${A-B}"', 'fleet: must name an environment variable after ${, and end with }'],
  ])('is one problem when it cannot be replaced: %j', (fileText, problem) => {
    expect(problemsOf({ fileText, env: { A: 'a' } })).toEqual([problem]);
  });
});

describe('the file', () => {
  it('may be empty, or comments only', () => {
    expect(problemsOf({ fileText: '' })).toEqual([]);
    expect(problemsOf({ fileText: '# nothing\n' })).toEqual([]);
  });

  it.each([
    ['a: [', 'writ.yaml: line 1, column 5: must be YAML (BAD_INDENT)'],
    ['fleet: a\nfleet: b', 'writ.yaml: line 2, column 1: must name a key once'],
    ['policy: { bundle: a, "bundle": b }', 'writ.yaml: line 1, column 22: must name a key once'],
    ['fleet: !secret a', 'writ.yaml: line 1, column 8: must not use tags'],
    ['fleet: !!binary aGk=', 'writ.yaml: line 1, column 8: must not use tags'],
    ['[a]: b', 'writ.yaml: line 1, column 1: must have plain text as keys'],
    ['fleet: a\n---\nfleet: b', 'writ.yaml: line 2, column 1: must be one document'],
    ['policy:\n\tbundle: x', 'writ.yaml: line 2, column 1: must be indented with spaces'],
    ['- fleet', 'writ.yaml: must be a map of keys'],
    ['fleet', 'writ.yaml: must be a map of keys'],
    ['fleet: *gone', 'writ.yaml: must not nest this deep, nor repeat itself this often by aliases'],
  ])('is refused with line and column, and quotes nothing: %j', (fileText, problem) => {
    expect(problemsOf({ fileText, fileName: 'writ.yaml' })[0]).toBe(problem);
  });

  it('may use a few aliases, and is refused when they multiply', () => {
    const few = 'issuers: &list []\ncontrol: { issuers: *list }';
    expect(problemsOf({ fileText: few })).toEqual([]);
    const line = (i: number) => `a${i}: &a${i} [${`*a${i - 1},`.repeat(10)}]`;
    const bomb = ['a0: &a0 [x,x,x,x,x,x,x,x,x,x]', ...[1, 2, 3, 4, 5, 6, 7, 8].map(line)].join('\n');
    expect(problemsOf({ fileText: bomb })).toEqual([
      'configuration file: must not nest this deep, nor repeat itself this often by aliases',
    ]);
  });

  it('is YAML 1.2 even if it says otherwise: no merge keys, and yes is a text', () => {
    const fileText = '%YAML 1.1\n---\nbootstrap: yes\npolicy: { <<: { bundle: x } }';
    expect(problemsOf({ fileText })).toEqual([
      'bootstrap: must be true or false',
      'policy.<<: is no key; remove it',
    ]);
  });

  it('is refused unread when it is larger than any configuration', () => {
    const problem = 'configuration file: must be at most 1048576 characters';
    expect(problemsOf({ fileText: ' '.repeat(1024 * 1024 + 1) })).toEqual([problem]);
  });

  it('gives a few problems, not thousands, when it is nested without end', () => {
    const problems = problemsOf({ fileText: '['.repeat(5_000) });
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.length).toBeLessThanOrEqual(10);
  });

  it('that cannot be read does not hide what is wrong elsewhere', () => {
    expect(
      problemsOf({ fileText: 'a: [', env: { WRIT_LEASE: 'x', WRIT_X: '1' } }).map(
        (line) => line.split(':')[0],
      ),
    ).toEqual(['configuration file', 'WRIT_X', 'lease']);
  });
});
