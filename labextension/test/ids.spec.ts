import { isClusterId } from '../src/ids';

describe('isClusterId', () => {
  it('accepts what a server makes', () => {
    expect(isClusterId('0123456789abcdef')).toBe(true);
  });

  it.each([
    '',
    '0123456789abcde',
    '0123456789abcdef0',
    '0123456789ABCDEF',
    '0123456789abcdef\n',
    '../../../../../../',
    '<img src=x>',
    7,
    null,
    undefined,
    ['0123456789abcdef']
  ])('refuses %j', value => {
    expect(isClusterId(value)).toBe(false);
  });
});
