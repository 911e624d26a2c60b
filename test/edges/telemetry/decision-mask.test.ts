/** What a line must not say is not in it, whatever its shape, and what was done is named; the caller's objects stay whole. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/edges/telemetry/decision-mask.ts';
import { DecisionMask } from '../../../src/edges/telemetry/decision-mask.ts';

const KEY = new Uint8Array(32).fill(3);
const TOKEN = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJiaWxsaW5nIn0.c2lnbmF0dXJl';

function render(event: Event, pointers: readonly string[] = [], pseudonymKey?: Uint8Array): Event {
  return JSON.parse(new DecisionMask({ pointers, pseudonymKey }).render(event)) as Event;
}

describe('a mask', () => {
  it('leaves a line as it is that has nothing to hide', () => {
    const event = { input: { subject: { id: 'billing' } }, result: { allow: true } };
    expect(render({ ...event })).toEqual(event);
  });

  it('erases what its pointers name, and says which were there', () => {
    const input = { context: { ip: '10.0.0.1', 'a/b~c': 1 }, list: [{ pin: 1 }, { pin: 2, x: 3 }] };
    const pointers = [
      '/input/context/ip',
      '/input/context/a~1b~0c',
      '/input/list/*/pin',
      '/input/absent/x',
      '/requested_by',
    ];
    expect(render({ input, requested_by: '10.0.0.1' }, pointers)).toEqual({
      input: { context: {}, list: [{}, { x: 3 }] },
      erased: [
        '/input/context/ip',
        '/input/context/a~1b~0c',
        '/input/list/0/pin',
        '/input/list/1/pin',
        '/requested_by',
      ],
    });
    expect(input).toEqual({ context: { ip: '10.0.0.1', 'a/b~c': 1 }, list: [{ pin: 1 }, { pin: 2, x: 3 }] });
  });

  it('erases what was presented as a credential where AuthZEN has it, whatever its form', () => {
    const { input, erased } = render({ input: { context: { credential: { token: 'opaque' }, a: 1 } } });
    expect(input).toEqual({ context: { a: 1 } });
    expect(erased).toEqual(['/input/context/credential']);
  });

  it.each([
    ['a value', { authorization: `Bearer ${TOKEN}` }, '/input/authorization'],
    ['a value in a list', ['x', TOKEN], '/input/1'],
    ['deep inside', { a: { b: [{ c: `x=${TOKEN};` }] } }, '/input/a/b/0/c'],
    ['a name', { [TOKEN]: 1 }, '/input/-'],
    ['with a space', { t: 'eyAiYWxnIjoiRVMyNTYifQ.eyJzdWIiOiJhIn0.c2ln' }, '/input/t'],
    ['with a line break', { t: 'ewoiYWxnIjoiRVMyNTYifQ.eyJzdWIiOiJhIn0.c2ln' }, '/input/t'],
    ['after a line break', { t: `\n${TOKEN}` }, '/input/t'],
    ['after a tab', { t: `a:\t${TOKEN}` }, '/input/t'],
    ['after a control character', { t: `\u0001${TOKEN}` }, '/input/t'],
    ['glued to a word', { t: `token_${TOKEN}` }, '/input/t'],
    ['glued to an escaped space', { t: `Bearer%20${TOKEN}` }, '/input/t'],
    ['as a name on the way to it', { [TOKEN]: { a: 1 } }, '/input/-'],
    ['unsigned', { t: 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.' }, '/input/t'],
  ])('erases what reads like a token: %s', (_where, input, pointer) => {
    const text = new DecisionMask({ pointers: [], pseudonymKey: undefined }).render({ input });
    expect(text).not.toContain('eyJ');
    expect((JSON.parse(text) as Event)['erased']).toEqual([pointer]);
  });

  it('names no member that a pointer erases or masks by its token', () => {
    const { erased } = render({ input: { context: { [TOKEN]: 1 } } }, ['/input/context/*']);
    expect(erased).toEqual(['/input/context/-']);
  });

  it('leaves names of hosts and members alone', () => {
    const input = { host: 'keys.news.example.com', path: 'keyLabel.review.newOrder' };
    expect(render({ input })).toMatchObject({ input });
  });

  it('finds a token wherever it is put', () => {
    const place = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small' },
        fc.constant(TOKEN),
        fc.string(),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(fc.string(), tie('tree'), { maxKeys: 3 }),
      ),
    })).tree;
    fc.assert(
      fc.property(place, (input) => {
        const text = new DecisionMask({ pointers: [], pseudonymKey: undefined }).render({
          input,
          result: input,
        });
        expect(text).not.toContain(TOKEN);
      }),
    );
  });

  it('takes no time over a text that is made to be looked at again and again', () => {
    const startedMs = performance.now();
    for (const text of ['eyJ', '-eyJ', 'eyJ.', '-.', 'a.eyJ.', 'eyJ.eyJ']) {
      render({ input: { text: text.repeat(20_000) } });
      render({ input: { text: `.${text.repeat(20_000)}` } });
    }
    expect(performance.now() - startedMs).toBeLessThan(200);
  });

  it('shows a subject that is no object, or that is a number, as a pseudonym too', () => {
    for (const input of [{ subject: 'a@x' }, { subject: { id: 4111 } }, { subject: 4111 }])
      expect(JSON.stringify(render({ subject: 4111, input }, [], KEY))).not.toMatch(/a@x|4111/);
  });

  it('names nothing as erased that was not there', () => {
    expect(
      render({ result: { allow: true, obligations: undefined } }, ['/result/obligations', '/result/*'])[
        'erased'
      ],
    ).toEqual(['/result/allow']);
  });

  it('shows subjects as pseudonyms, the same for the same, and no claims', () => {
    const credential = {
      issuer: 'i',
      claims: { sub: 'billing', email: 'b@x' },
      actors: [{ issuer: 'i', subject: 'bot' }],
    };
    const event = {
      subject: 'billing',
      agent: 'bot',
      input: { subject: { type: 'user', id: 'billing' }, credential },
    };
    const shown = render({ ...event }, [], KEY) as {
      subject: string;
      agent: string;
      input: { subject: { id: string }; credential: { claims?: unknown; actors: [{ subject: string }] } };
      erased: string[];
      masked: string[];
    };
    expect(JSON.stringify(shown)).not.toMatch(/billing|bot"|b@x/);
    expect(shown.subject).toMatch(/^p_[\w-]{22}$/);
    expect(shown.input.subject.id).toBe(shown.subject);
    expect(shown.input.credential.actors[0].subject).toBe(shown.agent);
    expect(shown.agent).not.toBe(shown.subject);
    expect(shown.erased).toEqual(['/input/credential/claims']);
    expect(shown.masked).toEqual([
      '/subject',
      '/agent',
      '/input/subject/id',
      '/input/credential/actors/0/subject',
    ]);
    expect(credential.claims.sub).toBe('billing');
    expect(render({ ...event }, [], new Uint8Array(32))['subject']).not.toBe(shown.subject);
  });
});
