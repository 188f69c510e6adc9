// The package's entry for Node is CommonJS under an ES module's name; its module file has no types of its own.
declare module 'wgsl_reflect/wgsl_reflect.module.js' {
  export * from 'wgsl_reflect';
}
