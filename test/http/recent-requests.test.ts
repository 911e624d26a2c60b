import { describe, expect, it } from 'vitest';
import { RecentRequests } from '../../src/http/recent-requests.ts';
import { LIMITS } from '../../src/kernel/limits.ts';

const bodyOf = (id: string, more: object = {}): string =>
  JSON.stringify({
    subject: { type: 'service', id },
    action: { name: 'read' },
    resource: { type: 'invoice', id: '42' },
    ...more,
  });

describe('requests that come again', () => {
  it('are the same object for the same text, and another for any other', () => {
    const recent = new RecentRequests();
    const first = recent.parse(bodyOf('billing'));
    expect(recent.parse(bodyOf('billing'))).toBe(first);
    expect(recent.parse(` ${bodyOf('billing')}`)).not.toBe(first);
    expect(recent.parse(bodyOf('billinG')).request.subject.id).toBe('billinG');
  });

  it('are refused each time when they are malformed', () => {
    const recent = new RecentRequests();
    for (let i = 0; i < 2; i++)
      expect(() => recent.parse('{"subject":{}}')).toThrow('subject.type must be a non-empty string');
  });

  it('are read anew when they are long: memory is bounded', () => {
    const recent = new RecentRequests();
    const long = bodyOf('x'.repeat(LIMITS.requestRememberedCharsMax));
    expect(recent.parse(long)).not.toBe(recent.parse(long));
  });

  it('are forgotten when many others have come', () => {
    const recent = new RecentRequests();
    const first = recent.parse(bodyOf('first'));
    for (let i = 0; i <= LIMITS.requestsRememberedMax; i++) recent.parse(bodyOf(`s${i}`));
    expect(recent.parse(bodyOf('first'))).not.toBe(first);
  });
});
