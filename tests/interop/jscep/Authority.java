import com.google.gson.JsonObject;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.util.Date;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CRLConverter;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v2CRLBuilder;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.jscep.server.ScepServlet;
import org.jscep.transaction.FailInfo;
import org.jscep.transaction.OperationFailureException;
import org.jscep.transaction.TransactionId;
import org.jscep.transport.response.Capability;
import org.jscep.util.CertificationRequestUtils;

/**
 * The smallest CA that fills in jscep's servlet: one challenge, renewal by a certificate of its own,
 * and requests that wait for one poll when their subject says "slow".
 *
 * <p>Renewal is not announced: jscep means by it that the old certificate signs a PKCSReq, and
 * answers a RenewalReq with HTTP 500.
 */
final class Authority extends ScepServlet {
    private static final long serialVersionUID = 1L;
    private static final long DAY = 86_400_000L;

    private final transient X509Certificate certificate;
    private final transient PrivateKey key;
    private final transient X509Certificate next;
    private final transient String challenge;
    private final transient Map<BigInteger, X509Certificate> issued = new ConcurrentHashMap<>();
    private final transient Map<String, PKCS10CertificationRequest> held = new ConcurrentHashMap<>();
    private final transient Set<String> polled = ConcurrentHashMap.newKeySet();
    private final transient AtomicLong serial = new AtomicLong(1000);

    private Authority(Order order) throws GeneralSecurityException {
        certificate = order.certificate("certificate");
        key = order.privateKey("key");
        next = order.certificate("next");
        challenge = order.text("challenge");
    }

    /** Starts to serve at a free port, for as long as this process lives. */
    static JsonObject serve(Order order) throws Exception {
        JsonObject answer = new JsonObject();
        answer.addProperty("port", Container.serve(new Authority(order)));
        return answer;
    }

    @Override
    protected Set<Capability> doCapabilities(String profile) {
        return EnumSet.complementOf(
                EnumSet.of(Capability.RENEWAL, Capability.UPDATE, Capability.SCEP_STANDARD));
    }

    @Override
    protected List<X509Certificate> doGetCaCertificate(String profile) {
        return List.of(certificate);
    }

    @Override
    protected List<X509Certificate> getNextCaCertificate(String profile) {
        return List.of(next);
    }

    @Override
    protected List<X509Certificate> doEnrol(
            PKCS10CertificationRequest csr, X509Certificate sender, TransactionId transaction)
            throws Exception {
        boolean right = challenge.equals(CertificationRequestUtils.getChallengePassword(csr));
        if (!right && !isMine(sender)) {
            throw new OperationFailureException(FailInfo.badRequest);
        }
        if (csr.getSubject().toString().contains("slow")) {
            held.put(transaction.toString(), csr);
            return List.of();
        }
        return List.of(issue(csr));
    }

    @Override
    protected List<X509Certificate> doGetCertInitial(
            X500Name issuer, X500Name subject, TransactionId transaction) throws Exception {
        PKCS10CertificationRequest csr = held.get(transaction.toString());
        if (csr == null || !csr.getSubject().equals(subject)) {
            throw new OperationFailureException(FailInfo.badCertId);
        }
        return polled.add(transaction.toString()) ? List.of() : List.of(issue(csr));
    }

    @Override
    protected List<X509Certificate> doGetCert(X500Name issuer, BigInteger number) {
        X509Certificate found = issued.get(number);
        return found == null ? List.of() : List.of(found);
    }

    @Override
    protected X509CRL doGetCrl(X500Name issuer, BigInteger number) throws Exception {
        Date now = new Date();
        JcaX509v2CRLBuilder builder = new JcaX509v2CRLBuilder(certificate, now);
        builder.setNextUpdate(new Date(now.getTime() + DAY));
        return new JcaX509CRLConverter().getCRL(builder.build(signer()));
    }

    private X509Certificate issue(PKCS10CertificationRequest csr) throws Exception {
        Date now = new Date();
        BigInteger number = BigInteger.valueOf(serial.incrementAndGet());
        X509v3CertificateBuilder builder = new X509v3CertificateBuilder(
                X500Name.getInstance(certificate.getSubjectX500Principal().getEncoded()), number,
                new Date(now.getTime() - DAY), new Date(now.getTime() + 90 * DAY),
                csr.getSubject(), csr.getSubjectPublicKeyInfo());
        X509Certificate made =
                new JcaX509CertificateConverter().getCertificate(builder.build(signer()));
        issued.put(number, made);
        return made;
    }

    private boolean isMine(X509Certificate sender) {
        try {
            sender.verify(certificate.getPublicKey());
            return true;
        } catch (GeneralSecurityException problem) {
            return false;
        }
    }

    private ContentSigner signer() throws Exception {
        return new JcaContentSignerBuilder("SHA256withRSA").build(key);
    }

    @Override
    protected PrivateKey getRecipientKey() {
        return key;
    }

    @Override
    protected X509Certificate getRecipient() {
        return certificate;
    }

    @Override
    protected PrivateKey getSignerKey() {
        return key;
    }

    @Override
    protected X509Certificate getSigner() {
        return certificate;
    }

    @Override
    protected X509Certificate[] getSignerCertificateChain() {
        return new X509Certificate[] {certificate};
    }
}
