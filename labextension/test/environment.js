const { TestEnvironment } = require('jest-environment-jsdom');

/** A browser's page, with the parts of a browser that jsdom has not: Node's. */
module.exports = class extends TestEnvironment {
  constructor(...args) {
    super(...args);
    Object.assign(this.global, {
      Headers,
      Request,
      Response,
      TextDecoder,
      TextEncoder,
      fetch
    });
  }
};
