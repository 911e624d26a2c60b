import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Config, ConfigSources } from '../../src/config/config.ts';
import { parseConfig, parseStore, renderProblems, requireConfig } from '../../src/config/config.ts';

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
  return { env: {}, sets: [], dev: false, cwd: '/srv/writ', replicaDefault: 'host-a1b2', ...given };
}

function configOf(given: Given): Config {
  return requireConfig(sourcesOf(given));
}

/** `key: message` of every problem. */
function problemsOf(given: Given): string[] {
  const result = parseConfig(sourcesOf(given));
  return result.ok ? [] : renderProblems(result.problems).split('\n');
}

function warningsOf(given: Given): string[] {
  const result = parseConfig(sourcesOf(given));
  return result.ok ? result.warnings.map(({ key }) => key) : ['not accepted'];
}

describe('a configuration from nothing', () => {
  it('has every default', () => {
    const { settings, ...config } = configOf({});
    expect(settings.length).toBeGreaterThan(10);
    expect(config).toEqual({
      dev: false,
      fleet: 'default',
      replica: 'host-a1b2',
      dataDir: '/srv/writ/writ-data',
      leaseMs: 3_000,
      store: { kind: 'journal' },
      bootstrap: false,
      rosterForgetMs: 600_000,
      snapshotEvery: 10_000,
      barrier: 'acknowledged',
      policy: { entrypoint: 'writ/authz/decision', ...POLICY },
      listen: {
        data: { address: { host: '127.0.0.1', port: 8181 } },
        control: { address: { host: '127.0.0.1', port: 8282 } },
        diagnostics: { address: { host: '127.0.0.1', port: 9464 } },
      },
      issuers: [],
      revocationClaims: [],
      control: {
        issuers: [],
        scopes: {
          'writ:read': 'read',
          'writ:revoke:token': 'revoke:token',
          'writ:revoke:subject': 'revoke:subject',
          'writ:revoke:client': 'revoke:client',
          'writ:revoke:issuer': 'revoke:issuer',
          'writ:revoke:all': 'revoke:all',
          'writ:lock:token': 'lock:token',
          'writ:lock:subject': 'lock:subject',
          'writ:lock:client': 'lock:client',
          'writ:lock:issuer': 'lock:issuer',
          'writ:lock:all': 'lock:all',
          'writ:grant': 'grant',
        },
      },
      trustedProxies: ['127.0.0.1/32', '::1/128'],
      clockSkewMs: 5_000,
      credentialLifeMaxMs: 86_400_000,
      devAudience: 'writ-dev',
      telemetry: {
        traces: { sampling: 1 },
        decisionLog: {
          sink: 'off',
          required: false,
          requiredWaitMs: 1_000,
          mask: [],
          subjects: 'clear',
        },
      },
    });
  });

  it('is frozen all the way down', () => {
    const frozen = (value: unknown): boolean =>
      typeof value !== 'object' ||
      value === null ||
      (Object.isFrozen(value) && Object.values(value).every((member) => frozen(member)));
    expect(
      frozen(configOf({ fileText: 'issuers: [{ issuer: a, audiences: [b], jwks: { file: c } }]' })),
    ).toBe(true);
  });

  it('opens an empty store by itself in --dev mode only, unless it is told not to', () => {
    expect(configOf({ dev: true })).toMatchObject({ dev: true, bootstrap: true });
    expect(configOf({ dev: true, fileText: 'bootstrap: false' }).bootstrap).toBe(false);
    expect(configOf({ fileText: 'bootstrap: true' }).bootstrap).toBe(true);
  });
});

const WHOLE = `
fleet: payments
replica: gw-eu-1
dataDir: data
fleetKeyFile: /run/secrets/fleet
lease: 500ms
store: { kind: journal }
bootstrap: true
rosterForget: 1m
snapshotEvery: 500
barrier: wait
policy: { bundle: policies/bundle.tar.gz, watch: false, entrypoint: acme/allow, memo: false }
listen:
  data: unix:/run/writ/data.sock
  control:
    address: "0.0.0.0:8282"
    tls: { certFile: tls/cert.pem, keyFile: /etc/tls/key.pem, clientCaFile: tls/ca.pem }
  diagnostics: { address: "[::1]:0", tls: { certFile: c, keyFile: k } }
issuers:
  - issuer: https://idp.example
    audiences: [api, other]
    jwks: { url: "https://idp.example/jwks" }
    algorithms: [EdDSA]
    tokenType: jwt
  - { issuer: "spiffe://example.org", audiences: [api], jwks: { file: keys.json }, tokenType: jwt-svid }
revocationClaims: [mission_id, "https://example.org/tenant"]
control:
  issuers: [{ issuer: https://idp.example, audiences: [writ], jwks: { url: "http://127.0.0.1:1/jwks" } }]
  scopes: { admin: "revoke:all" }
publicUrl: https://pdp.example/base/
trustedProxies: [10.0.0.0/8, 192.0.2.1, "::1", "2001:db8::/32"]
clockSkew: 0s
credentialLifeMax: 720h
telemetry:
  traces: { url: "http://otel.observability:4318/v1/traces", sampling: 0.25 }
  decisionLog: { sink: file, file: decisions.jsonl, required: true, requiredWait: 250ms, mask: [/input/context/a~1b, /requested_by], subjects: pseudonym }
`;

describe('a configuration with every key', () => {
  it('is what was written, with absolute paths and milliseconds', () => {
    const { settings, ...config } = configOf({ fileText: WHOLE });
    expect(settings.every(({ from }) => from === 'file' || from === 'default')).toBe(true);
    expect(config).toEqual({
      dev: false,
      fleet: 'payments',
      replica: 'gw-eu-1',
      dataDir: '/srv/writ/data',
      fleetKeyFile: '/run/secrets/fleet',
      leaseMs: 500,
      store: { kind: 'journal' },
      bootstrap: true,
      rosterForgetMs: 60_000,
      snapshotEvery: 500,
      barrier: 'wait',
      policy: {
        bundle: '/srv/writ/policies/bundle.tar.gz',
        ...POLICY,
        watch: false,
        entrypoint: 'acme/allow',
        memo: false,
      },
      listen: {
        data: { address: { path: '/run/writ/data.sock' } },
        control: {
          address: { host: '0.0.0.0', port: 8282 },
          tls: {
            certFile: '/srv/writ/tls/cert.pem',
            keyFile: '/etc/tls/key.pem',
            clientCaFile: '/srv/writ/tls/ca.pem',
          },
        },
        diagnostics: {
          address: { host: '::1', port: 0 },
          tls: { certFile: '/srv/writ/c', keyFile: '/srv/writ/k' },
        },
      },
      issuers: [
        {
          issuer: 'https://idp.example',
          audiences: ['api', 'other'],
          jwks: { url: 'https://idp.example/jwks' },
          algorithms: ['EdDSA'],
          tokenType: 'jwt',
        },
        {
          issuer: 'spiffe://example.org',
          audiences: ['api'],
          jwks: { file: '/srv/writ/keys.json' },
          algorithms: ['RS256', 'ES256'],
          tokenType: 'jwt-svid',
        },
      ],
      revocationClaims: ['mission_id', 'https://example.org/tenant'],
      control: {
        issuers: [
          {
            issuer: 'https://idp.example',
            audiences: ['writ'],
            jwks: { url: 'http://127.0.0.1:1/jwks' },
            algorithms: ['RS256', 'ES256'],
            tokenType: 'at+jwt',
          },
        ],
        scopes: { admin: 'revoke:all' },
      },
      publicUrl: 'https://pdp.example/base',
      trustedProxies: ['10.0.0.0/8', '192.0.2.1/32', '::1/128', '2001:db8::/32'],
      clockSkewMs: 0,
      credentialLifeMaxMs: 2_592_000_000,
      devAudience: 'writ-dev',
      telemetry: {
        traces: { url: 'http://otel.observability:4318/v1/traces', sampling: 0.25 },
        decisionLog: {
          sink: 'file',
          file: '/srv/writ/decisions.jsonl',
          required: true,
          requiredWaitMs: 250,
          mask: ['/input/context/a~1b', '/requested_by'],
          subjects: 'pseudonym',
        },
      },
    });
  });
});

describe('a store on Redis', () => {
  const KEY = 'fleetKeyFile: /key\n';
  const redis = (rest: string) => configOf({ fileText: `${KEY}store: { kind: redis, ${rest} }` }).store;
  const refused = (rest: string) => problemsOf({ fileText: `${KEY}store: { kind: redis, ${rest} }` });

  it('is at an address, with its files, and fails over only when that is said', () => {
    expect(redis('url: "rediss://w@r", passwordFile: p, caFile: /ca')).toEqual({
      kind: 'redis',
      url: { host: 'r', username: 'w', isTls: true },
      passwordFile: '/srv/writ/p',
      caFile: '/ca',
      failover: false,
    });
    expect(redis('url: "redis://r:7000", failover: true')).toEqual({
      kind: 'redis',
      url: { host: 'r', port: 7000, isTls: false },
      failover: true,
    });
  });

  it('is found by Sentinels under the name that its host is, and then fails over', () => {
    const sentinel = 'sentinel: { urls: ["redis://s@a", "redis://s@b:7"], passwordFile: s }';
    expect(redis(`url: "redis://writ@payments", ${sentinel}`)).toEqual({
      kind: 'redis',
      url: { host: 'payments', username: 'writ', isTls: false },
      failover: true,
      sentinel: {
        urls: [
          { host: 'a', username: 's', isTls: false },
          { host: 'b', port: 7, username: 's', isTls: false },
        ],
        passwordFile: '/srv/writ/s',
      },
    });
    expect(redis('url: "redis://p", sentinel: { urls: ["redis://a"] }')).toMatchObject({
      sentinel: { urls: [{ host: 'a', isTls: false }] },
    });
  });

  const NAME = "store.url: must name the Sentinels' name of the master as host, without a port";
  it.each([
    ['url: "redis://p:6379", sentinel: { urls: ["redis://a"] }', NAME],
    ['url: "unix:/r", sentinel: { urls: ["redis://a"] }', NAME],
    [
      'url: "redis://p", failover: false, sentinel: { urls: ["redis://a"] }',
      'store.failover: must not be false with store.sentinel',
    ],
    ['url: "redis://p", sentinel: { urls: [] }', 'store.sentinel.urls: must have at least 1 entry'],
    [
      'url: "redis://p", sentinel: { urls: ["redis://a", "rediss://b"] }',
      'store.sentinel.urls: must agree on user and TLS',
    ],
    [
      'url: "redis://p", sentinel: { urls: ["redis://u@a", "redis://b"] }',
      'store.sentinel.urls: must agree on user and TLS',
    ],
    [
      'url: "redis://p", sentinel: { urls: ["unix:/s"] }',
      'store.sentinel.urls: must have redis:// or rediss:// URLs',
    ],
    ['url: "redis://p", sentinel: { urls: 5 }', 'store.sentinel.urls: must be a list'],
    ['url: "redis://p", sentinel: 5', 'store.sentinel: must be a map with urls, passwordFile'],
  ])('refuses %s', (rest, problem) => {
    expect(refused(rest)).toEqual([problem]);
  });

  it('is judged alone where no replica runs: only its own problems count', () => {
    const alone = (fileText: string) => parseStore(sourcesOf({ fileText }));
    expect(alone('lease: x\nstore: { kind: redis, url: "redis://r" }')).toMatchObject({
      ok: true,
      store: { url: { host: 'r' } },
    });
    expect(alone('lease: x')).toEqual({ ok: true, store: { kind: 'journal' } });
    expect(alone('store: { kind: redis }')).toMatchObject({
      ok: false,
      problems: [{ key: 'store.url' }],
    });
  });
});

describe('problems', () => {
  it('come all at once, each with its key and what would be right', () => {
    const fileText = `
fleet: Payments
lease: 100ms
store: { kind: redis, url: "redis://x", caFile: /ca }
bootstrap: yes
barrier: 3
policy: { bundel: x, watch: true }
listen: { data: 5, control: "0.0.0.0:1", diagnostics: { address: "[::1]:99999", x: 1 }, extAuthz: a }
relay: { listen: a }
issuers:
  - { issuer: a, audiences: [], jwks: {} }
  - { issuer: a, audiences: [1], jwks: { url: "http://x", file: a }, tokenType: opaque, introspection: {} }
  - 5
control: { scopes: { "a b": read, x: y } }
publicUrl:
revocationClaims: [sub]
trustedProxies: [a/3]
devAudience: x
polcy: {}
`;
    expect(problemsOf({ fileText, env: { WRIT_CLOCK_SKEW: '2' }, sets: ['policy.entrypoint=/'] })).toEqual([
      'devAudience: must not be there without --dev: there is no dev issuer then',
      'fleet: must be 1 to 64 of a-z, 0-9 and -',
      'lease: must be a duration from 500ms to 60s, such as 500ms, 3s, 10m or 24h',
      'store.caFile: must not be there without rediss: in store.url',
      'bootstrap: must be true or false',
      'barrier: must be one of acknowledged, wait',
      'policy.entrypoint: must be a path of a rule such as writ/authz/decision (from --set policy.entrypoint)',
      'policy.bundel: is no key; did you mean policy.bundle?',
      'listen.data: must be an address or a map { address, tls }',
      'listen.control: must have tls: { certFile, keyFile } when it is not on loopback: the control plane is never served in the clear',
      'listen.diagnostics.address: must be an IP address (or localhost) and a port, 127.0.0.1:8181 or [::1]:8181, or unix:/absolute/path',
      'listen.diagnostics.x: is no key; remove it',
      'listen.extAuthz: this release has no gRPC listener; remove it',
      'issuers[0].audiences: must have at least 1 entry',
      'issuers[0].jwks: must be either { url: … } or { file: … }',
      'issuers[1].audiences[0]: must be an audience: text that is not empty (a number, true and false need quotes)',
      'issuers[1].jwks.url: must be an https: URL without user and fragment (http: only on loopback)',
      'issuers[1].tokenType: must be one of at+jwt, jwt, jwt-svid: this release takes no opaque tokens',
      'issuers[1].introspection: this release introspects no tokens; remove it',
      'issuers[2]: must be a map with issuer, audiences, jwks, algorithms, tokenType',
      'issuers[1].issuer: must be there once: it repeats an earlier one',
      'revocationClaims[0]: must be a claim of your own, none of iss, sub, aud, exp, nbf, iat, jti, sid, client_id, azp, act, cnf: they have selectors of their own, or name nothing',
      'control.scopes.a b: must be an OAuth scope word',
      'control.scopes.x: must be one of read, revoke:token, revoke:subject, revoke:client, revoke:issuer, revoke:all, lock:token, lock:subject, lock:client, lock:issuer, lock:all, grant',
      'publicUrl: is empty; give it a value or remove it',
      'trustedProxies[0]: must be an address range such as 10.0.0.0/8 or ::1/128',
      'clockSkew: must be a duration from 0s to 60s, such as 500ms, 3s, 10m or 24h (from WRIT_CLOCK_SKEW)',
      'relay: this release has no relay; remove it',
      'polcy: is no key; did you mean policy?',
      'fleetKeyFile: must be there with a redis store: `writ key fleet` makes one, the same for all replicas',
    ]);
  });

  it('are thrown as one CONFIG_INVALID by requireConfig', () => {
    expect(() => configOf({ fileText: 'fleet: 1\nlease: x' })).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message:
          'fleet: must be 1 to 64 of a-z, 0-9 and - (a number, true and false need quotes)\n' +
          'lease: must be a duration from 500ms to 60s, such as 500ms, 3s, 10m or 24h',
      }),
    );
  });

  it.each([
    ['dev: true', 'dev: is a flag, not a key: start with `writ serve --dev`'],
    [
      'introspectionClients: []',
      'introspectionClients: this release does not answer token introspection; remove it',
    ],
    ['logout: { clientId: writ }', 'logout: this release has no back-channel logout; remove it'],
    ['data_dir: x', 'data_dir: is no key; did you mean dataDir?'],
    ['leese: 3s', 'leese: is no key; did you mean lease?'],
    ['flete: x', 'flete: is no key; did you mean fleet?'],
    ['bundle: x', 'bundle: is no key; did you mean policy.bundle?'],
    ['zzzzzz: x', 'zzzzzz: is no key; remove it'],
    ['__proto__: { fleet: x }', '__proto__: is no key; remove it'],
    ['constructor: x', 'constructor: is no key; remove it'],
    ['control: { scopes: { __proto__: read } }', 'control.scopes.__proto__: is no key; remove it'],
    ['store:', 'store: is empty; give it a value or remove it'],
    ['store: journal', 'store: must be a map with kind, url, passwordFile, caFile, failover, sentinel'],
    ['lease: 3', 'lease: must be a duration from 500ms to 60s, such as 500ms, 3s, 10m or 24h'],
    [
      'publicUrl: 7',
      'publicUrl: must be an https: URL without user, query and fragment (http: only on loopback)',
    ],
    ['issuers: {}', 'issuers: must be a list'],
    ['listen: [1]', 'listen: must be a map with data, control, diagnostics'],
    ['listen: { data: }', 'listen.data: is empty; give it a value or remove it'],
    [
      'listen: { data: { tls: { certFile: a, keyFile: b } } }',
      'listen.data.address: is missing; it must be an IP address (or localhost) and a port, 127.0.0.1:8181 or [::1]:8181, or unix:/absolute/path',
    ],
    [
      'listen: { data: { address: "127.0.0.1:1", tls: { certFile: a } } }',
      'listen.data.tls.keyFile: is missing; it must be a path',
    ],
    [
      'listen: { data: { address: "127.0.0.1:1", tls: { certFile: a, keyFile: b, kerFile: c } } }',
      'listen.data.tls.kerFile: is no key; did you mean listen.data.tls.keyFile?',
    ],
    ['rosterForget: 5s', 'rosterForget: must be at least twice the lease'],
    ['replica: "a b"', 'replica: must be 1 to 128 letters, digits and . _ -'],
    ['dataDir: ""', 'dataDir: must be a path'],
    [
      'issuers: [{ issuer: "https://dev.writ.invalid", audiences: [a], jwks: { file: a } }]',
      'issuers[0].issuer: must not be https://dev.writ.invalid: that issuer exists with --dev only',
    ],
    [
      'issuers: [{ issuer: a, audiences: [b], jwks: { file: c }, algorithms: [HS256] }]',
      'issuers[0].algorithms[0]: must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA',
    ],
    [
      'issuers: [{ issuer: a, audiences: [b], jwks: { file: c }, algorithms: [none] }]',
      'issuers[0].algorithms[0]: must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA',
    ],
    [`revocationClaims: [${'a,'.repeat(101)}]`, 'revocationClaims: must have at most 100 entries'],
    [
      'control: { issuers: [{ issuer: a, audiences: [b], jwks: { file: c }, introspection: {} }] }',
      'control.issuers[0].introspection: this release introspects no tokens; remove it',
    ],
  ])('say what would be right instead of %j', (fileText, problem) => {
    expect(problemsOf({ fileText })).toEqual([problem]);
  });

  it('are said by sentences of ours and quote no value, whatever stands under whatever key', () => {
    const canary = 'canary-5ecret';
    const wrong = fc.constantFrom<unknown>(
      canary,
      7,
      true,
      null,
      [],
      [canary],
      [[canary]],
      {},
      { a: canary },
    );
    const key = fc.constantFrom(
      ...Object.keys(configOf({})),
      'lease',
      'rosterForget',
      'clockSkew',
      'publicUrl',
    );
    fc.assert(
      fc.property(fc.dictionary(key, wrong), (tree) => {
        const result = parseConfig(sourcesOf({ fileText: JSON.stringify(tree) }));
        if (result.ok) return;
        for (const { message } of result.problems) {
          expect(message).toMatch(/must (be|have|not)|remove it|did you mean|is a flag/);
          expect(message).not.toContain(canary);
        }
      }),
    );
  });

  it('lose the control characters of names that came from outside', () => {
    expect(problemsOf({ fileText: '"a\\n\\u001b[31mb": 1' })).toEqual(['a??[31mb: is no key; remove it']);
    expect(problemsOf({ fileText: `${'k'.repeat(500)}: 1` })[0]).toHaveLength(
      120 + ': is no key; remove it'.length,
    );
  });
});

describe('listeners', () => {
  it.each([
    ['0.0.0.0:8282', 1],
    ['[::]:8282', 1],
    ['192.0.2.7:8282', 1],
    ['127.0.0.1:8282', 0],
    ['127.8.8.8:8282', 0],
    ['localhost:8282', 0],
    ['[::1]:8282', 0],
    ['[::ffff:127.0.0.1]:8282', 0],
    ['unix:/run/writ.sock', 0],
  ])('the control plane on %s without TLS gives %i problems', (address, count) => {
    expect(problemsOf({ env: { WRIT_LISTEN_CONTROL: address } })).toHaveLength(count);
    const tls = `{ address: "${address}", tls: { certFile: a, keyFile: b } }`;
    expect(problemsOf({ env: { WRIT_LISTEN_CONTROL: tls } })).toEqual([]);
  });

  it.each([
    ['127.0.0.1:1', '127.0.0.1:1', true],
    ['127.0.0.1:1', '127.0.0.1:2', false],
    ['127.0.0.1:1', '127.0.0.2:1', false],
    ['127.0.0.1:0', '127.0.0.1:0', false],
    ['127.0.0.1:1', 'localhost:1', true],
    ['0.0.0.0:1', '127.0.0.1:1', true],
    ['127.0.0.1:1', '[::]:1', true],
    ['[::1]:1', '[0:0:0:0:0:0:0:1]:1', true],
    ['[fe80::1%a]:1', '[fe80::1%b]:1', false],
    ['unix:/a', 'unix:/a', true],
    ['unix:/a', 'unix:/b', false],
    ['unix:/a', '127.0.0.1:1', false],
  ])('on %s and on %s collide: %s', (data, diagnostics, collide) => {
    const problems = problemsOf({ sets: [`listen.data=${data}`, `listen.diagnostics=${diagnostics}`] });
    expect(problems).toEqual(
      collide ? ['listen.diagnostics: must not be where listen.data is (from --set listen.diagnostics)'] : [],
    );
  });

  it('that collide are named even when something else is wrong with the third', () => {
    const fileText = 'listen: { data: x, control: "127.0.0.1:5", diagnostics: "127.0.0.1:5" }';
    expect(problemsOf({ fileText }).map((line) => line.split(':')[0])).toEqual([
      'listen.data',
      'listen.diagnostics',
    ]);
  });
});

describe('warnings', () => {
  it('tell what is allowed and weakens a promise', () => {
    expect(warningsOf({})).toEqual(['issuers']);
    expect(warningsOf({ dev: true })).toEqual(['bootstrap']);
    expect(warningsOf({ fileText: WHOLE })).toEqual(['bootstrap']);
    expect(warningsOf({ dev: true, env: { WRIT_LISTEN_DATA: '0.0.0.0:1' } })).toEqual([
      'listen.data',
      'bootstrap',
    ]);
    const tls = '{ address: "0.0.0.0:1", tls: { certFile: a, keyFile: b } }';
    expect(warningsOf({ dev: true, env: { WRIT_LISTEN_DATA: tls, WRIT_BOOTSTRAP: 'false' } })).toEqual([]);
  });
});

describe('telemetry', () => {
  const logOf = (log: string): string[] => problemsOf({ fileText: `telemetry: { decisionLog: ${log} }` });
  const tracesOf = (traces: string): string[] => problemsOf({ fileText: `telemetry: { traces: ${traces} }` });

  it('has a sink for every place and a place for every sink', () => {
    expect(logOf('{ sink: file }')).toEqual(['telemetry.decisionLog.file: must be there for the sink file']);
    expect(logOf('{ sink: http, file: x, tokenFile: t }')).toEqual([
      'telemetry.decisionLog.file: must not be there without the sink file',
      'telemetry.decisionLog.url: must be there for the sink http',
    ]);
    expect(logOf('{ url: "https://c.example/logs", tokenFile: t }')).toEqual([
      'telemetry.decisionLog.url: must not be there without the sink http',
      'telemetry.decisionLog.tokenFile: must not be there without the sink http',
    ]);
    expect(logOf('{ required: true }')).toEqual([
      'telemetry.decisionLog.required: must not be true without a sink: no answer could be given',
    ]);
    expect(logOf('{ sink: http, url: "https://c.example/logs", tokenFile: t, required: true }')).toEqual([]);
  });

  it('sends no decision and no secret in the clear', () => {
    expect(logOf('{ sink: http, url: "http://c.example/logs" }')).toHaveLength(1);
    expect(tracesOf('{ url: "http://c.example/v1/traces", headersFile: h }')).toEqual([
      'telemetry.traces.headersFile: must not be there unless url is https: (or http: on loopback): it has secrets in it',
    ]);
    for (const url of ['https://c.example/v1/traces', 'http://127.0.0.1:4318/v1/traces'])
      expect(tracesOf(`{ url: "${url}", headersFile: h }`)).toEqual([]);
    expect(
      configOf({ fileText: 'telemetry: { traces: { url: "https://c/t", headersFile: h } }' }),
    ).toMatchObject({
      telemetry: { traces: { headersFile: '/srv/writ/h' } },
    });
    for (const url of ['ftp://c/t', 'http://u:p@c/t', 'http://c/t?key=1', 'http://c/t#x', 'c'])
      expect(tracesOf(`{ url: "${url}" }`)).toEqual([
        'telemetry.traces.url: must be an http: or https: URL without user, query and fragment',
      ]);
  });

  it('takes a share as a number, from the environment too', () => {
    const sampling = (env: string): number =>
      configOf({ env: { WRIT_TELEMETRY_TRACES_SAMPLING: env } }).telemetry.traces.sampling;
    expect([sampling('0'), sampling('1'), sampling('0.05')]).toEqual([0, 1, 0.05]);
    for (const wrong of ['2', '-0.1', '"much"', '"1e-3"', 'true'])
      expect(tracesOf(`{ sampling: ${wrong} }`)).toEqual([
        'telemetry.traces.sampling: must be a number from 0 to 1',
      ]);
  });

  it('masks only what a line has', () => {
    for (const right of ['/input', '/input/a/*/b', '/result/x', '/requested_by', '/input/~0~1'])
      expect(logOf(`{ mask: ["${right}"] }`)).toEqual([]);
    for (const wrong of ['input/a', '/', '/reason', '/requested_by/x', '/input/~2', '/input//a'])
      expect(logOf(`{ mask: ["${wrong}"] }`)).toHaveLength(1);
  });
});
