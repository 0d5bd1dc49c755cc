// Package prose holds the project's texts against the glossary in
// hack/prose/styles/Outrider/Glossary.yml. `make lint` runs Vale with it over
// pages, samples and comments; the tests here read the same list for the string
// literals of the code, and check that the linter fails where it should.
package prose
