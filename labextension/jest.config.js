// JupyterLab's and Lumino's packages are ES modules, which Jest runs as
// CommonJS: so everything is transformed, dependencies too.
const react = { runtime: 'automatic' };
const swc = ['@swc/jest', { jsc: { target: 'es2022', transform: { react } } }];

module.exports = {
  testEnvironment: '<rootDir>/test/environment.js',
  testMatch: ['<rootDir>/test/**/*.spec.{ts,tsx}'],
  transform: { '\\.[jt]sx?$': swc, '\\.mjs$': swc },
  transformIgnorePatterns: [],
  moduleNameMapper: { '\\.(css|svg)$': '<rootDir>/test/asset.js' }
};
