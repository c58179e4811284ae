// Products and TCB components, values typed from SNP.md section 2.
#include "tests/unit/cmocka.hpp"

#include "common/tcb.hpp"

using namespace cvmin;

static void decode_tcb_reads_the_layout_of_each_product(void **) {
    // bytes 11 22 33 44 55 66 77 88 in the report's order
    constexpr std::uint64_t value = 0x8877665544332211;
    for (const Product product : {Product::milan, Product::genoa}) {
        const Tcb tcb = decode_tcb(product, value);
        assert_int_equal(tcb[TcbComponent::fmc], 0);
        assert_int_equal(tcb[TcbComponent::boot_loader], 0x11);
        assert_int_equal(tcb[TcbComponent::tee], 0x22);
        assert_int_equal(tcb[TcbComponent::snp], 0x77);
        assert_int_equal(tcb[TcbComponent::microcode], 0x88);
        assert_int_equal(unknown_tcb_bits(product, value), 0x0000665544330000);
        assert_int_equal(encode_tcb(product, tcb), 0x8877000000002211);
    }
    const Tcb tcb = decode_tcb(Product::turin, value);
    assert_int_equal(tcb[TcbComponent::fmc], 0x11);
    assert_int_equal(tcb[TcbComponent::boot_loader], 0x22);
    assert_int_equal(tcb[TcbComponent::tee], 0x33);
    assert_int_equal(tcb[TcbComponent::snp], 0x44);
    assert_int_equal(tcb[TcbComponent::microcode], 0x88);
    assert_int_equal(unknown_tcb_bits(Product::turin, value), 0x0077665500000000);
    assert_int_equal(encode_tcb(Product::turin, tcb), 0x8800000044332211);
}

static void tcb_at_least_needs_every_component(void **) {
    const Tcb minimum{.level = {1, 4, 0, 24, 219}};
    assert_true(tcb_at_least(minimum, minimum));
    for (const TcbComponent component : all_tcb_components) {
        Tcb more = minimum;
        more[component] = 255;
        assert_true(tcb_at_least(more, minimum));
        assert_int_equal(tcb_at_least(minimum, more), false);
        if (minimum[component] == 0)
            continue;
        // one component below, and no surplus of the others makes up for it
        Tcb less{.level = {255, 255, 255, 255, 255}};
        less[component] = static_cast<std::uint8_t>(minimum[component] - 1);
        assert_false(tcb_at_least(less, minimum));
    }
    // as one little-endian integer 0x19_00..0a would be above 0x18_00..0b, and the reverse: neither is at least the
    // other
    const Tcb a{.level = {0, 10, 0, 25, 84}};
    const Tcb b{.level = {0, 11, 0, 24, 84}};
    assert_false(tcb_at_least(a, b));
    assert_false(tcb_at_least(b, a));
}

static void product_of_cpuid_knows_the_published_lines_only(void **) {
    for (unsigned family = 0; family < 256; ++family)
        for (unsigned model = 0; model < 256; ++model) {
            std::optional<Product> wanted;
            if (family == 0x19 && model < 0x10)
                wanted = Product::milan;
            if (family == 0x19 && ((model >= 0x10 && model < 0x20) || (model >= 0xa0 && model < 0xb0)))
                wanted = Product::genoa;
            if (family == 0x1a && model <= 0x11)
                wanted = Product::turin;
            assert_true(product_of_cpuid(static_cast<std::uint8_t>(family), static_cast<std::uint8_t>(model)) ==
                        wanted);
        }
}

static void product_of_certificate_takes_names_with_and_without_stepping(void **) {
    assert_true(product_of_certificate("Milan-B0") == Product::milan);
    assert_true(product_of_certificate("Milan") == Product::milan);
    assert_true(product_of_certificate("Genoa-B2") == Product::genoa);
    assert_true(product_of_certificate("Turin-B1") == Product::turin);
    for (const std::string_view name : {"", "-", "milan", "Milan B0", "Milano", "Venice-A0", "-Milan", "MilanX"})
        assert_false(product_of_certificate(name).has_value());
}

static void to_string_names_the_components_of_the_product(void **) {
    const Tcb tcb{.level = {3, 4, 0, 24, 219}};
    assert_true(to_string(Product::milan, tcb) == "boot_loader 4, tee 0, snp 24, microcode 219");
    assert_true(to_string(Product::turin, tcb) == "fmc 3, boot_loader 4, tee 0, snp 24, microcode 219");
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(decode_tcb_reads_the_layout_of_each_product),
        cmocka_unit_test(tcb_at_least_needs_every_component),
        cmocka_unit_test(product_of_cpuid_knows_the_published_lines_only),
        cmocka_unit_test(product_of_certificate_takes_names_with_and_without_stepping),
        cmocka_unit_test(to_string_names_the_components_of_the_product),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
