//! Wrong rules, and what the compiler says about them: the messages are part of the product.

#[test]
fn wrong_rules_are_told_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
