const { TestEnvironment } = require('jest-environment-jsdom');

/** A browser's page, with the parts of a browser that jsdom has not: Node's. */
module.exports = class extends TestEnvironment {
  constructor(...args) {
    super(...args);
    Object.assign(this.global, {
      // These only have to be there: nothing is dragged or laid out in a test.
      DragEvent: class extends this.global.MouseEvent {},
      matchMedia: () => ({ matches: false }),
      Headers,
      Request,
      Response,
      TextDecoder,
      TextEncoder,
      fetch
    });
    this.global.navigator.clipboard = {};
  }
};
