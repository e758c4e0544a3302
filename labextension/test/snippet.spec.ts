import { clientSnippet } from '../src/snippet';

describe('clientSnippet', () => {
  it('is the code that connects', () => {
    expect(clientSnippet('tcp://127.0.0.1:8786')).toBe(
      'from nbcluster import Client\n\nclient = Client("tcp://127.0.0.1:8786")\nclient'
    );
  });

  it('keeps an address within its quotes', () => {
    expect(clientSnippet('")\nevil("')).toContain('Client("\\")\\nevil(\\"")');
  });
});
