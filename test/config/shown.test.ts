/** The configuration as people may see it: every value with its source, and no secret that a source may hold. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConfigSources, ShownSetting } from '../../src/config/config.ts';
import { requireConfig } from '../../src/config/config.ts';
import { CONFIG_KEYS } from '../../src/config/key.ts';

function shown(given: Partial<ConfigSources>): ReadonlyMap<string, ShownSetting> {
  const base = { env: {}, sets: [], dev: false, cwd: '/srv/writ', replicaDefault: 'host-a1b2' };
  const { settings } = requireConfig({ ...base, ...given });
  return new Map(settings.map((setting) => [setting.key, setting]));
}

const ISSUER = (url: string): string =>
  `issuers: [{ issuer: "https://idp.example", audiences: [api], jwks: { url: "${url}" } }]`;

describe('the shown configuration', () => {
  it('has every key that has a value, as the file would spell it, in the order of the schema', () => {
    const settings = shown({});
    expect(settings.get('lease')).toEqual({ key: 'lease', value: '3s', from: 'default' });
    expect(settings.get('listen.data')).toEqual({
      key: 'listen.data',
      value: '127.0.0.1:8181',
      from: 'default',
    });
    expect(settings.get('issuers')).toEqual({ key: 'issuers', value: [], from: 'default' });
    expect(settings.has('fleetKeyFile')).toBe(false);
    expect(settings.get('control.scopes')?.value).toMatchObject({ 'writ:revoke:token': 'revoke:token' });
    const order = CONFIG_KEYS.map(({ path }) => path);
    const places = [...settings.keys()].map((key) => order.indexOf(key));
    expect(places).toEqual(places.toSorted((left, right) => left - right));
    expect(places).not.toContain(-1);
  });

  it('says which source gave each value', () => {
    const settings = shown({
      fileText: 'fleet: a\nlease: 1s\nlisten: { data: "127.0.0.1:1" }',
      env: { WRIT_LEASE: '2s', WRIT_STORE: '{ kind: journal }' },
      sets: ['barrier=wait', 'listen.data.address=127.0.0.1:2', 'listen.control.address=127.0.0.1:3'],
    });
    const from = (key: string): unknown => settings.get(key)?.from;
    expect(from('fleet')).toBe('file');
    expect(settings.get('lease')).toMatchObject({ value: '2s', from: 'WRIT_LEASE' });
    expect(from('store.kind')).toBe('WRIT_STORE');
    expect(from('barrier')).toBe('--set barrier');
    expect(from('listen.data')).toBe('file, --set listen.data.address');
    expect(from('listen.control')).toBe('--set listen.control.address');
    expect(from('clockSkew')).toBe('default');
    expect(from('bootstrap')).toBe('default');
  });

  it('says that --dev made the store open by itself, unless somebody else said so', () => {
    expect(shown({ dev: true }).get('bootstrap')).toMatchObject({ value: true, from: '--dev' });
    expect(shown({ dev: true, sets: ['bootstrap=false'] }).get('bootstrap')).toMatchObject({
      value: false,
      from: '--set bootstrap',
    });
  });

  it('shows no query of a URL, and what came from the environment by its name', () => {
    const inQuery = shown({ fileText: ISSUER('https://idp.example/jwks?key=CANARY') });
    expect(inQuery.get('issuers')?.value).toMatchObject([
      { jwks: { url: 'https://idp.example/jwks?redacted' } },
    ]);
    const filled = shown({
      fileText: ISSUER('https://idp.example/${SECRET}/jwks'),
      env: { SECRET: 'CANARY' },
    });
    expect(filled.get('issuers')?.value).toMatchObject([
      { jwks: { url: 'https://idp.example/${SECRET}/jwks' } },
    ]);
  });

  it('shows the value of a variable that stands over a text of the file, not that text', () => {
    const settings = shown({ fileText: 'lease: ${LEASE}', env: { LEASE: '1s', WRIT_LEASE: '2s' } });
    expect(settings.get('lease')).toEqual({ key: 'lease', value: '2s', from: 'WRIT_LEASE' });
  });

  it('never holds what a file took from the environment, wherever it stands', () => {
    const texts: readonly ((canary: string) => string)[] = [
      (text) => ISSUER(`https://idp.example/${text}`),
      (text) => ISSUER(`https://idp.example/x?${text}`),
      (text) => `fleet: "${text}"`,
      (text) => `publicUrl: "https://pdp.example/${text}"`,
      (text) => `fleetKeyFile: "/run/${text}"`,
      (text) => `revocationClaims: ["${text}"]`,
      (text) => `listen: { data: { address: "unix:/run/${text}" } }`,
      (text) => `control: { scopes: { "a:b": read } }\npolicy: { bundle: "${text}" }`,
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...texts),
        fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'x', 'y', 'z'), minLength: 12, maxLength: 30 }),
        (textOf, canary) => {
          const settings = shown({ fileText: textOf('${SECRET}'), env: { SECRET: canary } });
          expect(JSON.stringify([...settings.values()])).not.toContain(canary);
        },
      ),
    );
  });
});
