#include "host-tools/appraise/crl.hpp"

#include <mbedtls/oid.h>

#include <cstring>

namespace cvmin {

void RevocationList::Free::operator()(mbedtls_x509_crl *crl) const {
    mbedtls_x509_crl_free(crl);
    delete crl;
}

static Result<Bytes> der_of(ByteView der_or_pem, std::string_view where) {
    constexpr std::string_view begin = "-----BEGIN X509 CRL-----";
    constexpr std::string_view end = "-----END X509 CRL-----";
    constexpr std::string_view blank = " \t\r\n";
    std::string_view text = as_text(der_or_pem);
    text.remove_prefix(std::min(text.find_first_not_of(blank), text.size()));
    if (!text.starts_with(begin))
        return to_bytes(der_or_pem);
    text.remove_prefix(begin.size());
    const std::size_t stop = text.find(end);
    if (stop == text.npos || text.find_first_not_of(blank, stop + end.size()) != text.npos)
        return fail(Errc::malformed, where);
    std::string base64_text;
    for (const char c : text.substr(0, stop))
        if (!blank.contains(c))
            base64_text += c;
    return parse_base64(base64_text, where);
}

Result<RevocationList> RevocationList::parse(ByteView der_or_pem, std::string_view where) {
    if (der_or_pem.size() > max_crl_size)
        return fail(Errc::too_large, where, der_or_pem.size());
    CVMIN_TRY(der, der_of(der_or_pem, where));
    RevocationList list;
    list.crl_.reset(new mbedtls_x509_crl);
    mbedtls_x509_crl_init(list.crl_.get());
    if (const int result = mbedtls_x509_crl_parse_der(list.crl_.get(), u8(ByteView{der}), der.size()); result != 0)
        return fail(Errc::malformed, where, static_cast<std::uint64_t>(-result));
    if (list.crl_->raw.len != der.size())
        return fail(Errc::trailing, where, list.crl_->raw.len);
    return list;
}

std::string RevocationList::issuer_name() const {
    for (const mbedtls_x509_name *at = &crl_->issuer; at != nullptr; at = at->next) {
        if (at->oid.p == nullptr || MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &at->oid) != 0)
            continue;
        std::string text;
        for (std::size_t i = 0; i < std::min<std::size_t>(at->val.len, 64); ++i) { // nothing that could move a cursor
            const auto c = static_cast<char>(at->val.p[i]);
            text += c >= 0x20 && c < 0x7f ? c : '?';
        }
        return text;
    }
    return "(no common name)";
}

static std::time_t seconds_of(const mbedtls_x509_time &time) {
    std::tm utc{};
    utc.tm_year = time.year - 1900;
    utc.tm_mon = time.mon - 1;
    utc.tm_mday = time.day;
    utc.tm_hour = time.hour;
    utc.tm_min = time.min;
    utc.tm_sec = time.sec;
    return timegm(&utc);
}

std::time_t RevocationList::this_update() const {
    return seconds_of(crl_->this_update);
}

std::optional<std::time_t> RevocationList::next_update() const {
    if (crl_->next_update.year == 0)
        return std::nullopt;
    return seconds_of(crl_->next_update);
}

std::size_t RevocationList::entries() const {
    std::size_t count = 0;
    for (const mbedtls_x509_crl_entry *entry = &crl_->entry; entry != nullptr && entry->raw.len != 0;
         entry = entry->next)
        ++count;
    return count;
}

} // namespace cvmin
