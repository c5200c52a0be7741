// Reads the expressions that the admin's theme has in its attributes (x-data, x-show, x-on:click) without eval, which the
// Content-Security-Policy forbids: Alpine is given this reader in place of its own. It knows the part of JavaScript that
// the theme uses. Of what is outside of a component an expression reaches only what is named in `outside`.
"use strict";

(() => {
  const outside = {
    localStorage: () => localStorage,
    window: () => ({ location: { pathname: location.pathname, search: location.search, hash: location.hash } }),
    theme: () => theme,
    searchForm: () => searchForm,
    searchDropdown: () => searchDropdown,
    searchCommand: () => searchCommand,
    getCurrentTab: () => getCurrentTab,
    sortRecords: () => sortRecords,
    moveRecords: () => moveRecords,
  };
  const constants = { true: true, false: false, null: null, undefined };
  const closed = new Set(["constructor", "__proto__", "prototype"]);

  const TOKEN =
    /\s*(?:(\d+(?:\.\d+)?)|('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|([A-Za-z_$][\w$]*)|(===|!==|=>|==|!=|<=|>=|&&|\|\||\?\?|\?\.|\+\+|--|\+=|-=|[-+*/%!?:;,.()[\]{}=<>]))/y;

  function tokens(text) {
    const found = [];
    TOKEN.lastIndex = 0;
    const end = text.trimEnd().length;
    while (TOKEN.lastIndex < end) {
      const at = TOKEN.lastIndex;
      const match = TOKEN.exec(text);
      if (!match) throw new SyntaxError(`cannot read ${text.slice(at)}`);
      const [, number, string, name, sign] = match;
      if (number) found.push({ kind: "value", value: Number(number) });
      else if (string) found.push({ kind: "value", value: string.slice(1, -1).replace(/\\(.)/g, "$1") });
      else found.push({ kind: name ? "name" : "sign", text: name || sign });
    }
    return found;
  }

  const LEVELS = [
    ["||", "??"],
    ["&&"],
    ["===", "!==", "==", "!="],
    ["<", ">", "<=", ">="],
    ["+", "-"],
    ["*", "/", "%"],
  ];
  const OPERATORS = {
    "||": (a, b) => a() || b(),
    "??": (a, b) => a() ?? b(),
    "&&": (a, b) => a() && b(),
    "===": (a, b) => a() === b(),
    "!==": (a, b) => a() !== b(),
    "==": (a, b) => a() == b(),
    "!=": (a, b) => a() != b(),
    "<": (a, b) => a() < b(),
    ">": (a, b) => a() > b(),
    "<=": (a, b) => a() <= b(),
    ">=": (a, b) => a() >= b(),
    "+": (a, b) => a() + b(),
    "-": (a, b) => a() - b(),
    "*": (a, b) => a() * b(),
    "/": (a, b) => a() / b(),
    "%": (a, b) => a() % b(),
  };

  // A node has `get(env)`; one that can be assigned to has `set(env, value)` too, and one that can be called as a method
  // `owner(env)`. `env` has the names of arrow functions around it in `own`, and the component's in `scope`.
  function lookUp(env, name) {
    for (let own = env.own; own; own = own.outer) if (Object.hasOwn(own.names, name)) return own.names;
    return name in env.scope ? env.scope : null;
  }

  function nameNode(name) {
    return {
      get(env) {
        const holder = lookUp(env, name);
        if (holder) return holder[name];
        if (Object.hasOwn(outside, name)) return outside[name]();
        throw new ReferenceError(`${name} is not defined`);
      },
      set(env, value) {
        (lookUp(env, name) || env.scope)[name] = value;
      },
      owner: (env) => (name in env.scope ? env.scope : undefined),
    };
  }

  function memberNode(object, key, optional) {
    const of = (env) => {
      const name = key(env);
      if (closed.has(String(name))) throw new TypeError(`${name} is not for expressions`);
      return name;
    };
    let held;
    return {
      get(env) {
        held = object.get(env);
        if (optional && (held === null || held === undefined)) return undefined;
        return held[of(env)];
      },
      set(env, value) {
        object.get(env)[of(env)] = value;
      },
      owner: () => held,
    };
  }

  class Reader {
    constructor(text) {
      this.tokens = tokens(text);
      this.at = 0;
    }

    sees(...texts) {
      const token = this.tokens[this.at];
      return token !== undefined && token.kind !== "value" && texts.includes(token.text);
    }

    takes(...texts) {
      return this.sees(...texts) ? this.tokens[this.at++].text : "";
    }

    needs(text) {
      if (!this.takes(text)) throw new SyntaxError(`expected ${text}`);
    }

    name() {
      const token = this.tokens[this.at++];
      if (!token || token.kind !== "name") throw new SyntaxError("expected a name");
      return token.text;
    }

    program(end) {
      const parts = [];
      while (this.at < this.tokens.length && !this.sees(end)) {
        if (!this.takes(";")) parts.push(this.statement());
      }
      return { get: (env) => parts.reduce((_, part) => part.get(env), undefined) };
    }

    statement() {
      if (!this.takes("if")) return this.expression();
      this.needs("(");
      const test = this.expression();
      this.needs(")");
      const then = this.branch();
      this.takes(";");
      const otherwise = this.takes("else") ? this.branch() : { get: () => undefined };
      return { get: (env) => (test.get(env) ? then : otherwise).get(env) };
    }

    branch() {
      return this.sees("{") ? this.block() : this.statement();
    }

    block() {
      this.needs("{");
      const inner = this.program("}");
      this.needs("}");
      return inner;
    }

    expression() {
      if (this.startsArrow()) return this.arrow();
      const left = this.conditional();
      const sign = this.takes("=", "+=", "-=");
      if (!sign) return left;
      if (!left.set) throw new SyntaxError("cannot assign to this");
      const right = this.expression();
      return {
        get(env) {
          const value = right.get(env);
          const old = sign === "=" ? undefined : left.get(env);
          const result = sign === "=" ? value : sign === "+=" ? old + value : old - value;
          left.set(env, result);
          return result;
        },
      };
    }

    startsArrow() {
      let at = this.at;
      const text = (place) => (this.tokens[place] || {}).text;
      if (text(at) !== "(") return text(at + 1) === "=>";
      while (at < this.tokens.length && text(at) !== ")") at += 1;
      return text(at + 1) === "=>";
    }

    arrow() {
      const names = [];
      if (this.takes("(")) {
        while (!this.takes(")")) {
          names.push(this.name());
          this.takes(",");
        }
      } else names.push(this.name());
      this.needs("=>");
      const body = this.sees("{") ? this.block() : this.expression();
      return {
        get: (env) => (...given) => {
          const own = { outer: env.own, names: Object.fromEntries(names.map((name, place) => [name, given[place]])) };
          return body.get({ ...env, own });
        },
      };
    }

    conditional() {
      const test = this.binary(0);
      if (!this.takes("?")) return test;
      const then = this.expression();
      this.needs(":");
      const otherwise = this.expression();
      return { get: (env) => (test.get(env) ? then : otherwise).get(env) };
    }

    binary(level) {
      if (level === LEVELS.length) return this.unary();
      let left = this.binary(level + 1);
      for (let sign = this.takes(...LEVELS[level]); sign; sign = this.takes(...LEVELS[level])) {
        const [first, second, operator] = [left, this.binary(level + 1), OPERATORS[sign]];
        left = { get: (env) => operator(() => first.get(env), () => second.get(env)) };
      }
      return left;
    }

    unary() {
      const sign = this.takes("!", "-", "+");
      if (!sign) return this.postfix();
      const inner = this.unary();
      if (sign === "!") return { get: (env) => !inner.get(env) };
      return { get: (env) => (sign === "-" ? -inner.get(env) : +inner.get(env)) };
    }

    postfix() {
      const node = this.chain();
      const sign = this.takes("++", "--");
      if (!sign) return node;
      return {
        get(env) {
          const old = node.get(env);
          node.set(env, sign === "++" ? old + 1 : old - 1);
          return old;
        },
      };
    }

    chain() {
      let node = this.primary();
      for (;;) {
        const sign = this.takes(".", "?.", "[", "(");
        if (!sign) return node;
        if (sign === "(") node = this.call(node);
        else if (sign === "[") {
          const key = this.expression();
          this.needs("]");
          node = memberNode(node, (env) => key.get(env), false);
        } else {
          const name = this.name();
          node = memberNode(node, () => name, sign === "?.");
        }
      }
    }

    call(callee) {
      const given = this.list(")");
      return {
        get(env) {
          const called = callee.get(env);
          const owner = callee.owner ? callee.owner(env) : undefined;
          return called.apply(owner, given.map((one) => one.get(env)));
        },
      };
    }

    list(end) {
      const found = [];
      while (!this.takes(end)) {
        found.push(this.expression());
        if (!this.sees(end)) this.needs(",");
      }
      return found;
    }

    primary() {
      if (this.takes("(")) {
        const inner = this.expression();
        this.needs(")");
        return { get: (env) => inner.get(env) };
      }
      if (this.takes("[")) {
        const parts = this.list("]");
        return { get: (env) => parts.map((part) => part.get(env)) };
      }
      if (this.takes("{")) return this.object();
      const token = this.tokens[this.at++];
      if (!token || token.kind === "sign" || closed.has(token.text)) throw new SyntaxError("expected a value");
      if (token.kind === "value") return { get: () => token.value };
      if (Object.hasOwn(constants, token.text)) return { get: () => constants[token.text] };
      return nameNode(token.text);
    }

    object() {
      const entries = [];
      while (!this.takes("}")) {
        const token = this.tokens[this.at++];
        const key = token.kind === "value" ? token.value : token.text;
        entries.push([key, this.takes(":") ? this.expression() : nameNode(key)]);
        if (!this.sees("}")) this.needs(",");
      }
      return { get: (env) => Object.fromEntries(entries.map(([key, value]) => [key, value.get(env)])) };
    }
  }

  const read = new Map();

  function program(text) {
    if (!read.has(text)) {
      const reader = new Reader(text);
      const found = reader.program();
      if (reader.at < reader.tokens.length) throw new SyntaxError("this is not the end");
      read.set(text, found);
    }
    return read.get(text);
  }

  function fails(error, element, expression) {
    console.error(`${error.message}, in the expression "${expression}"`, element);
  }

  // What Alpine asks of an evaluator: a function that hands the value to `receive`; values that are functions are called.
  function evaluator(element, expression) {
    return (receive = () => {}, { scope = {}, params = [] } = {}) => {
      const names = Alpine.mergeProxies([scope, ...Alpine.closestDataStack(element)]);
      try {
        const made = typeof expression === "function" ? expression : program(expression).get({ scope: names });
        receive(typeof made === "function" ? made.apply(names, params) : made);
      } catch (error) {
        fails(error, element, expression);
      }
    };
  }

  document.addEventListener("alpine:init", () => Alpine.setEvaluator(evaluator));
})();
